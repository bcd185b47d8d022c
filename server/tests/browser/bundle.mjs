// Makes one script of the page and its packages: node bundle.mjs OUTFILE
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";

const page = fileURLToPath(new URL("page.js", import.meta.url));
buildSync({ entryPoints: [page], bundle: true, format: "iife", outfile: process.argv[2] });
