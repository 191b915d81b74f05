// Showing amounts. They come as strings with every digit and stay strings: rounding here is for the eye, by digits, and the title of a
// cell holds the whole amount. Nothing here is ever sent back or added up.

const PLAIN = /^([+-]?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;
const WORDS = { Infinity: "∞", "-Infinity": "−∞" };

/** [negative, digits before the point, digits behind it]; null for what is no number. */
function parts(text) {
  const found = PLAIN.exec(text);
  if (!found) return null;
  let [, sign, whole, behind = "", exponent = "0"] = found;
  const shift = Number(exponent);
  if (shift > 0) {
    behind = behind.padEnd(shift, "0");
    [whole, behind] = [whole + behind.slice(0, shift), behind.slice(shift)];
  } else if (shift < 0) {
    whole = whole.padStart(1 - shift, "0");
    [whole, behind] = [whole.slice(0, shift), whole.slice(shift) + behind];
  }
  return [sign === "-", whole.replace(/^0+(?=\d)/, ""), behind];
}

/** "1234567.891" with 2 places: "1,234,567.89"; half goes away from zero. */
export function shown(text, places = 2) {
  if (text === null || text === undefined) return "–";
  const found = parts(String(text));
  if (!found) return WORDS[text] ?? String(text);
  let [negative, whole, behind] = found;
  if (behind.length > places) {
    const up = behind[places] >= "5" ? 1n : 0n;
    const scaled = (BigInt(whole + behind.slice(0, places)) + up).toString().padStart(places + 1, "0");
    whole = scaled.slice(0, scaled.length - places);
    behind = places ? scaled.slice(-places) : "";
  }
  behind = behind.padEnd(places, "0");
  const zero = !/[1-9]/.test(whole + behind);
  const grouped = whole.replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  return (negative && !zero ? "−" : "") + grouped + (places ? `.${behind}` : "");
}

/** With as many places as it has, up to `most`. */
export function exactly(text, most = 8) {
  if (text === null || text === undefined) return "–";
  const found = parts(String(text));
  return found ? shown(text, Math.min(found[2].replace(/0+$/, "").length, most)) : shown(text);
}

/** To be drawn or sorted by, never to be shown: a float. */
export const height = (text) => (text === null || text === undefined ? Infinity : Number(text));

const SCALES = [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]];

/** Three digits that count; a number written out drops the zeros behind its point and no others. */
const three = (value) => String(Number(value.toPrecision(3))).replace("-", "−");

/** For narrow places: "1.2M"; its title has to hold the whole. */
export function short(text) {
  const value = height(text);
  if (!Number.isFinite(value)) return "–";
  for (const [scale, letter] of SCALES) {
    if (Math.abs(value) >= scale) return `${three(value / scale)}${letter}`;
  }
  return three(value);
}

/** A fraction as percent: the point moves two places, no digit is lost. */
export function percent(text, places = 2) {
  if (text === null || text === undefined) return "–";
  const found = parts(`${text}`);
  return found ? `${shown(`${found[0] ? "-" : ""}${found[1]}.${found[2] || "0"}e2`, places)} %` : String(text);
}

/** The other way, for what a person types: "-15" percent is "-0.15"; null for what is no number. */
export function fractionOf(typed) {
  const found = parts(typed.trim().replace("−", "-").replace(/\s*%$/, ""));
  if (!found) return null;
  const [negative, whole, behind] = found;
  const digits = whole.padStart(3, "0");
  return `${negative ? "-" : ""}${digits.slice(0, -2)}.${digits.slice(-2)}${behind}`;
}
