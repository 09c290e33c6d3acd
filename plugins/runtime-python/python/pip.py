"""Runs pip where none is installed: the copy that comes with this Python, or the one beside it when that is newer.

    pip.py resolve REQUIREMENTS LOCK [OPTION…]    writes what pip would install, with hashes
    pip.py install LOCK [OPTION…]                 installs just that
    pip.py compile                                writes byte-code that is never checked against its source

The copy is unpacked beside this file.
"""

import compileall
import glob
import json
import os
import py_compile
import re
import runpy
import shutil
import sys
import sysconfig
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
OLDEST = (22, 2)


def number(text):
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def copies():
    folders = [sysconfig.get_config_var("WHEEL_PKG_DIR"), "/usr/share/python-wheels"]
    try:
        import ensurepip

        folders.append(os.path.join(os.path.dirname(ensurepip.__file__), "_bundled"))
    except ImportError:
        pass
    for folder in filter(None, folders):
        for wheel in glob.glob(os.path.join(folder, "pip-*.whl")):
            yield number(os.path.basename(wheel).split("-")[1]), wheel
    base = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}
    installed = os.path.join(sysconfig.get_path("purelib", vars=base), "pip")
    try:
        with open(os.path.join(installed, "__init__.py"), encoding="utf-8") as source:
            yield number(re.search(r"__version__ = \"(.*?)\"", source.read()).group(1)), installed
    except (OSError, AttributeError):
        pass


def unpack():
    target = os.path.join(HERE, "pip")
    if not os.path.isdir(target):
        version, origin = max(copies(), default=((0,), None))
        if version < OLDEST:
            sys.exit("ERROR: this Python comes without pip %d.%d or newer; install `uv`, or `ensurepip`" % OLDEST)
        if origin.endswith(".whl"):
            zipfile.ZipFile(origin).extractall(target)
        else:
            shutil.copytree(origin, os.path.join(target, "pip"))
    sys.path.insert(0, target)


def pip(*arguments):
    # What pip tells is progress, and the host shows stderr.
    os.dup2(2, 1)
    unpack()
    common = ["--no-input", "--disable-pip-version-check", "--no-color", "--progress-bar=off"]
    sys.argv = ["pip", "install", *common, "--ignore-installed", *arguments]
    try:
        runpy.run_module("pip", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            raise


def line(item):
    archive = item["download_info"].get("archive_info", {})
    sha256 = archive.get("hashes", {}).get("sha256") or archive.get("hash", "").partition("sha256=")[2]
    metadata = item["metadata"]
    if not sha256:
        sys.exit("ERROR: the index gives no sha256 for %s %s" % (metadata["name"], metadata["version"]))
    name = re.sub(r"[-_.]+", "-", metadata["name"]).lower()
    return "%s==%s \\\n    --hash=sha256:%s\n" % (name, metadata["version"], sha256)


def resolve(requirements, lock, *options):
    report = os.path.join(HERE, "report.json")
    pip("--dry-run", "--report", report, *options, "--requirement", requirements)
    with open(report, encoding="utf-8") as source:
        lines = sorted(line(item) for item in json.load(source)["install"])
    with open(lock, "w", encoding="utf-8") as output:
        output.writelines(lines)


def install(lock, *options):
    pip(*options, "--no-deps", "--require-hashes", "--no-compile", "--no-warn-script-location", "--requirement", lock)


def compile_all():
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        compileall.compile_dir(folder, quiet=2, workers=0, invalidation_mode=unchecked)


if __name__ == "__main__":
    {"resolve": resolve, "install": install, "compile": compile_all}[sys.argv[1]](*sys.argv[2:])
