// Makes one script of a page and its packages: node bundle.mjs PAGE OUTFILE
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";

const page = fileURLToPath(new URL(process.argv[2], import.meta.url));
buildSync({ entryPoints: [page], bundle: true, format: "iife", outfile: process.argv[3] });
