// Formats numbers and times, in the time zone of the browser.

/** A formatter of times. Creating one takes milliseconds, so it is created at its first use. */
function shape(options) {
  let made = null;
  return (seconds) => (made ??= new Intl.DateTimeFormat("en-GB", options)).format(seconds * 1000);
}

const TIME = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
const DAY = { weekday: "short", day: "numeric", month: "short" };
export const clock = shape(TIME);
export const hourMinute = shape({ hour: "2-digit", minute: "2-digit" });
export const weekday = shape({ weekday: "short", day: "numeric" });
export const date = shape(DAY);
export const moment = shape({ ...DAY, year: "numeric", ...TIME, timeZoneName: "short" });

/** The time of day, with the date before it unless it is today. */
export function when(seconds, now) {
  return date(seconds) === date(now) ? clock(seconds) : `${date(seconds)} ${clock(seconds)}`;
}

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

/** A duration in its two largest units: "3 h 12 min". */
export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const at = UNITS.findIndex(([, size]) => whole >= size);
  if (at < 0) return "0 s";
  const [unit, size] = UNITS[at];
  const rest = UNITS[at + 1] && Math.floor((whole % size) / UNITS[at + 1][1]);
  return `${Math.floor(whole / size)} ${unit}${rest ? ` ${rest} ${UNITS[at + 1][0]}` : ""}`;
}

/** A short duration, to a tenth of a second below 10 s: "3.2 s". */
export function took(seconds) {
  return seconds >= 100 ? span(seconds) : `${number(seconds, seconds < 10 ? 1 : 0)} s`;
}

/** A number with thin spaces between thousands; a dash for none. */
export function number(value, digits = 0) {
  if (value === null || value === undefined || Number.isNaN(Number(value))) return "–";
  const [whole, part] = Number(value).toFixed(digits).split(".");
  return whole.replace(/\B(?=(\d{3})+$)/g, "\u202f") + (part ? `.${part}` : "");
}

/** "1 VM", "3 VMs". */
export const count = (many, noun) => `${number(many)} ${noun}${many === 1 ? "" : "s"}`;

/** The words of a filter. */
export const split = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);
