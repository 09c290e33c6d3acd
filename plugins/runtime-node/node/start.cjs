// Loaded before the code of every server with packages. Whatever is missing in an older Node is done without.
const fs = require("node:fs");
const module_ = require("node:module");
const path = require("node:path");

// lines are mapped in the server's own files: reading the maps of packages, too, makes every start slower
if (module_.getSourceMapsSupport?.().enabled) module_.setSourceMapsSupport(true, { nodeModules: false, generatedCode: false });

// Node writes to a cache what it does not find there. Where it could, as for root, there is none: what one server writes
// no other may load.
const cache = path.join(__dirname, "compile-cache");
try {
    fs.accessSync(cache, fs.constants.W_OK);
} catch (error) {
    if (error.code === "EACCES" || error.code === "EROFS") module_.enableCompileCache?.(cache);
}
