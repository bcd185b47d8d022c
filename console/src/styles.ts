// What all elements look like. The variables have values of their own, so that an element fits into a page that knows none.

import { css } from "lit";

export const shared = css`
  :host {
    --ground: var(--carillon-ground, #f7f3ec); --paper: var(--carillon-paper, #fffdf9); --raised: var(--carillon-raised, #ffffff);
    --ink: var(--carillon-ink, #22262f); --quiet: var(--carillon-quiet, #5f6675); --line: var(--carillon-line, #e5ddd0);
    --bronze: var(--carillon-bronze, #8f5312); --bronze-soft: var(--carillon-bronze-soft, #f3e4cf);
    --on-bronze: var(--carillon-on-bronze, #ffffff); --good: var(--carillon-good, #17703f); --good-soft: #dcefe3;
    --bad: var(--carillon-bad, #b0261c); --bad-soft: #f8dfdb;
    --shadow: 0 1px 2px rgb(60 40 10 / 6%), 0 8px 28px rgb(60 40 10 / 7%);
    --serif: Georgia, "Iowan Old Style", "Times New Roman", serif;
    --sans: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
    --mono: ui-monospace, "SF Mono", Menlo, Consolas, monospace;
    color: var(--ink); font: 16px/1.5 var(--sans);
  }
  @media (prefers-color-scheme: dark) {
    :host {
      --ground: var(--carillon-ground, #14161b); --paper: var(--carillon-paper, #1b1e25); --raised: var(--carillon-raised, #232731);
      --ink: var(--carillon-ink, #ece8e1); --quiet: var(--carillon-quiet, #a0a6b3); --line: var(--carillon-line, #30353f);
      --bronze: var(--carillon-bronze, #e3a95f); --bronze-soft: var(--carillon-bronze-soft, #3a2e1e);
      --on-bronze: var(--carillon-on-bronze, #1d1509); --good: var(--carillon-good, #67cf98); --good-soft: #1c3327;
      --bad: var(--carillon-bad, #ff8f83); --bad-soft: #3d2220;
      --shadow: 0 1px 2px rgb(0 0 0 / 30%), 0 8px 28px rgb(0 0 0 / 25%);
    }
  }
  *, *::before, *::after { box-sizing: border-box; }
  button { font: inherit; color: inherit; cursor: pointer; }
  button:disabled { cursor: default; }
  input, select { font: inherit; color: inherit; background: var(--raised); border: 1px solid var(--line); border-radius: 10px;
    padding: 0.45rem 0.7rem; }
  input::placeholder { color: var(--quiet); opacity: 0.75; }
  a { color: var(--bronze); }
  :focus-visible { outline: 2px solid var(--bronze); outline-offset: 2px; }
  button.small { border: 1px solid var(--line); background: var(--raised); border-radius: 999px; padding: 0.3rem 0.9rem; font-size: 0.88rem; }
  button.small:hover { border-color: var(--bronze); }
  button.small.good { background: #1c7c4a; border-color: #1c7c4a; color: #fff; }
  button.small.bad { background: #b3261e; border-color: #b3261e; color: #fff; }
  button.link { border: 0; background: none; padding: 0; color: var(--bronze); text-decoration: underline; }
`;
