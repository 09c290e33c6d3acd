// Runs pnpm, whether it is a program or a script for Node: pnpm.cjs PNPM ARGUMENT... What it locks here is left without
// addresses, since where packages come from is the operator's to say.
const { spawnSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");

const [pnpm, ...args] = process.argv.slice(2);
const script = [".js", ".cjs", ".mjs"].includes(path.extname(pnpm));
const folder = path.dirname(process.execPath);
const env = { ...process.env, PATH: [folder, process.env.PATH].join(path.delimiter) };
const [program, first] = script ? [process.execPath, [pnpm]] : [pnpm, []];
const done = spawnSync(program, [...first, ...args], { env, stdio: "inherit" });
if (done.error) throw done.error;
if (done.status === 0 && args.includes("--lockfile-only")) {
    const lock = fs.readFileSync("pnpm-lock.yaml", "utf8");
    const bare = lock.replace(/^( +resolution: \{integrity: [^,}]+), tarball: [^}]*\}$/gm, "$1}");
    fs.writeFileSync("pnpm-lock.yaml", bare);
}
process.exitCode = done.status ?? 1;
