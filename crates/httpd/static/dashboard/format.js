/** Numbers for people. */

/** Data in a second. */
export function bits(rate) {
  return scaled(rate, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"]);
}

/** An amount of data. */
export function bytes(count) {
  return scaled(count, ["B", "kB", "MB", "GB", "TB", "PB"]);
}

/** How often in a second. */
export function often(rate) {
  return rate === 0 || rate >= 9.95 ? number(Math.round(rate)) : rate < 0.05 ? "< 0.1" : rate.toFixed(1);
}

/** A number with its thousands set apart. */
export function number(count) {
  return count.toLocaleString("en");
}

/** Seconds, to two units. */
export function span(seconds) {
  const [days, hours, minutes] = [86_400, 3_600, 60].map((unit) => Math.floor(seconds / unit));
  if (days > 0) return `${days} d ${hours % 24} h`;
  if (hours > 0) return `${hours} h ${minutes % 60} min`;
  if (minutes > 0) return `${minutes} min ${seconds % 60} s`;
  return `${seconds} s`;
}

/** A part of a whole. */
export function percent(part) {
  const hundredths = part * 100;
  if (hundredths > 0 && hundredths < 0.05) return "< 0.1 %";
  return `${hundredths < 9.95 && hundredths > 0 ? hundredths.toFixed(1) : Math.round(hundredths)} %`;
}

function scaled(value, units) {
  let at = 0;
  while (value >= 999.5 && at < units.length - 1) {
    value /= 1000;
    at += 1;
  }
  return `${at > 0 && value < 99.95 ? value.toFixed(1) : Math.round(value)} ${units[at]}`;
}
