// Tells about the interpreter that runs it, as JSON; any Node can run it.
var fs = require("fs");
var path = require("path");
var real = fs.realpathSync(process.execPath);
var folder = path.dirname(real);
// what is linked dynamically, and npm, is beside `bin`; a Node among the system's own programs needs no folder
var system = ["/bin", "/usr/bin", "/usr/local/bin"].indexOf(folder) >= 0;
var root = path.basename(folder) === "bin" && !system ? path.dirname(folder) : real;
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
