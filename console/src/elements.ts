// The elements alone, for pages of others.
export { CarillonPhone } from "./phone.js";
export { CarillonLadder } from "./ladder.js";
