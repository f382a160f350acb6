// Computes the shapes of charts: numbers in, numbers and paths out.

/** Whether a point of a layer has a value. */
export const known = (point) => point !== undefined && point[1] !== null;

/** Stacks series. Returns for each its lower and upper edges; null where the value is unknown. */
export function stacked(series) {
  const ground = (series[0]?.values ?? []).map(() => 0);
  return series.map(({ values }) => values.map((value, at) => {
    if (value === null) return [0, null];
    ground[at] += value;
    return [ground[at] - value, ground[at]];
  }));
}

/** Round numbers from 0 to at least `most`, far enough apart to be read. */
export function scale(most, height, digits) {
  const about = most / Math.max(2, Math.min(5, Math.floor(height / 36)));
  const power = 10 ** Math.floor(Math.log10(about));
  const wanted = [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= about * 0.999);
  const step = digits ? wanted : Math.max(1, Math.ceil(wanted));
  return Array.from({ length: Math.ceil(most / step - 1e-9) + 1 }, (_, at) => at * step);
}

/** The number of decimals that a scale needs. */
export const decimals = (ticks) => (ticks.every((tick) => Number.isInteger(tick)) ? 0 : 1);

/** A sparkline of a pool's fill level, 0 to 100 %, in a box of 100 by 30: the paths of its area and of its edge. */
export function sparkline(values, size) {
  const step = 100 / Math.max(1, values.length - 1);
  let edge = "";
  let area = "";
  let from = null;
  const close = (at) => {
    if (from !== null) area += `L${((at - 1) * step).toFixed(1)} 30L${(from * step).toFixed(1)} 30Z`;
    from = null;
  };
  values.forEach((value, at) => {
    if (value === null) return close(at);
    const point = `${(at * step).toFixed(1)} ${(30 - 29 * Math.min(1, size ? value / size : 0)).toFixed(1)}`;
    edge += (from === null ? "M" : "L") + point;
    area += (from === null ? "M" : "L") + point;
    from ??= at;
    return undefined;
  });
  close(values.length);
  return { edge, area };
}
