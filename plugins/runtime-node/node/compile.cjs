// Compiles what servers will load of the packages in a folder, for Node's compile cache: compile.cjs FOLDER. Nothing of a
// package is run, and nothing that goes wrong here is of any consequence: what is missing is compiled by every server.
const { spawnSync } = require("node:child_process");
const fs = require("node:fs");
const module_ = require("node:module");
const path = require("node:path");

// what is loaded of packages that have no main module, or more than that
const LOADED = {
    "@modelcontextprotocol/sdk": ["@modelcontextprotocol/sdk/server/mcp.js", "@modelcontextprotocol/sdk/server/stdio.js"],
    "@modelcontextprotocol/server": ["@modelcontextprotocol/server", "@modelcontextprotocol/server/stdio"],
};
const LIMIT_MS = 20_000;

function compile(folder, entries) {
    const { dependencies } = JSON.parse(fs.readFileSync(path.join(folder, "package.json"), "utf8"));
    const modules = Object.keys(dependencies).flatMap((name) => LOADED[name] ?? [name]);
    fs.mkdirSync(entries);
    // everything is compiled before the first module is run, and the first one ends it all
    fs.writeFileSync(path.join(entries, "stop.mjs"), "throw undefined;\n");
    const imports = modules.map((name, number) => {
        const text = `import "./stop.mjs";\nimport ${JSON.stringify(name)};\n`;
        fs.writeFileSync(path.join(entries, `${number}.mjs`), text);
        return `import("./${number}.mjs")`;
    });
    const all = path.join(entries, "all.mjs");
    fs.writeFileSync(all, `await Promise.allSettled([${imports}]);\n`);
    const env = { ...process.env, NODE_COMPILE_CACHE: path.join(folder, "compile-cache") };
    // a process of its own: whatever becomes of it, this one goes on
    spawnSync(process.execPath, [all], { env, stdio: "ignore", timeout: LIMIT_MS, killSignal: "SIGKILL" });
}

const folder = process.argv[2];
const entries = path.join(folder, "compile");
try {
    if (module_.enableCompileCache) compile(folder, entries);
    fs.rmSync(entries, { recursive: true, force: true });
} catch {
    // servers start without it
}
