// Bundles the console: hashed names, one index.html that names them, every file also in gzip.
// `node build.mjs` writes dist/ for the binary and elements/dist/ for other pages.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const options = {
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
  charset: "utf8",
  write: false,
  logLevel: "warning",
};

function clear(folder) {
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(folder)) {
    if (name !== ".gitignore") rmSync(join(folder, name), { recursive: true });
  }
}

function put(path, bytes) {
  writeFileSync(path, bytes);
  // The same content gives the same file: no name and no time inside.
  writeFileSync(`${path}.gz`, gzipSync(bytes, { level: 9 }));
}

function hashed(bytes, name) {
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 10);
  const dot = name.lastIndexOf(".");
  return `${name.slice(0, dot)}-${hash}${name.slice(dot)}`;
}

async function bundle(entry) {
  const made = await build({ ...options, entryPoints: [entry] });
  return Buffer.from(made.outputFiles[0].contents);
}

clear("dist");
mkdirSync("dist/assets", { recursive: true });
let page = readFileSync("src/index.html", "utf8");
for (const [entry, name] of [["src/main.ts", "main.js"], ["src/style.css", "style.css"], ["src/icon.svg", "icon.svg"]]) {
  const bytes = entry.endsWith(".svg") ? readFileSync(entry) : await bundle(entry);
  const known = hashed(bytes, name);
  put(`dist/assets/${known}`, bytes);
  page = page.replaceAll(`{${name}}`, `/assets/${known}`);
}
put("dist/index.html", Buffer.from(page));
put("dist/service-worker.js", await bundle("src/service-worker.ts"));

clear("elements/dist");
const elements = await bundle("src/elements.ts");
writeFileSync("elements/dist/elements.js", elements);

let total = 0;
for (const folder of ["dist", "dist/assets"]) {
  for (const name of readdirSync(folder)) {
    if (name.endsWith(".gz")) total += readFileSync(join(folder, name)).length;
  }
}
console.log(`console: ${basename(process.cwd())}/dist, ${(total / 1024).toFixed(1)} KB in gzip`);
