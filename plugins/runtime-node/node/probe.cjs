// Tells about the interpreter that runs it, as JSON; any Node can run it.
var fs = require("fs");
var path = require("path");
var real = fs.realpathSync(process.execPath);
var folder = path.dirname(real);
// what is linked dynamically, and npm, is beside `bin`; a Node among the programs of the system or of all of the user's
// needs no folder
var shared = ["/bin", "/usr/bin", "/usr/local/bin"].indexOf(folder) >= 0 || /[\\/]\.local[\\/]bin$/.test(folder);
var root = path.basename(folder) === "bin" && !shared ? path.dirname(folder) : real;
console.log(
    JSON.stringify({
        version: process.versions.node,
        path: real,
        roots: [root],
        implementation: process.versions.bun ? "bun" : "node",
        modules: process.versions.modules,
        arch: process.arch,
    }),
);
