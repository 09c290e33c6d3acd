// Lays out what a package manager wants in a folder, and what servers start with: lay_out.cjs LOCK FOLDER. npm's lock
// itself says what is asked for, so that the two always agree; beside pnpm's there is a `package.json`.
const fs = require("node:fs");
const path = require("node:path");

const [lock, folder] = process.argv.slice(2);
const text = fs.readFileSync(lock, "utf8");
fs.writeFileSync(path.join(folder, path.basename(lock)), text);
fs.writeFileSync(path.join(folder, "package.json"), asked());
fs.copyFileSync(path.join(__dirname, "start.cjs"), path.join(folder, "start.cjs"));

function asked() {
    if (path.extname(lock) !== ".json") return fs.readFileSync("package.json");
    const root = JSON.parse(text).packages[""];
    return JSON.stringify({ name: root.name, version: root.version, private: true, dependencies: root.dependencies });
}
