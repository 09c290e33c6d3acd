// Lays out what `npm ci` wants in a folder, and what servers start with: lay_out.cjs LOCK FOLDER. The lock itself says what
// is asked for, so that the two always agree.
const fs = require("node:fs");
const path = require("node:path");

const [lock, folder] = process.argv.slice(2);
const text = fs.readFileSync(lock, "utf8");
const root = JSON.parse(text).packages[""];
const wanted = { name: root.name, version: root.version, private: true, dependencies: root.dependencies };
fs.writeFileSync(path.join(folder, "package-lock.json"), text);
fs.writeFileSync(path.join(folder, "package.json"), JSON.stringify(wanted));
fs.copyFileSync(path.join(__dirname, "start.cjs"), path.join(folder, "start.cjs"));
