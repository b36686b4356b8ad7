// Numbers and instants as people read them.

/** Seconds as `3:07` or `1:02:09`. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, '0');
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** A length in seconds as `1 h 32 min`. */
export function span(seconds) {
  const minutes = Math.max(1, Math.round(seconds / 60));
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Bytes as `9.6 MB` (decimal, as file managers and shops count). */
export function size(bytes) {
  if (bytes < 999_500) return `${Math.max(1, Math.round(bytes / 1000))} kB`;
  if (bytes < 999_500_000) return `${(bytes / 1e6).toFixed(bytes < 99_950_000 ? 1 : 0)} MB`;
  return `${(bytes / 1e9).toFixed(1)} GB`;
}

/** What a constant bitrate makes of so many seconds. */
export function estimatedSize(kbps, seconds) {
  return size(kbps * 125 * seconds);
}

/** A wait of so many seconds, rounded as one would say it. */
export function wait(seconds) {
  if (seconds < 10) return `${Math.max(1, Math.ceil(seconds))} s`;
  if (seconds < 90) return `${Math.ceil(seconds / 5) * 5} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

const TIME = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: 'short', day: 'numeric', month: 'short' });

/** A Date as a time of day, with the day when it isn't today. */
export function moment(date) {
  const today = new Date();
  const tomorrow = new Date(today.getFullYear(), today.getMonth(), today.getDate() + 1);
  const isOn = (day) => date.toDateString() === day.toDateString();
  const time = TIME.format(date);
  if (isOn(today)) return time;
  return isOn(tomorrow) ? `tomorrow, ${time}` : `${DAY.format(date)}, ${time}`;
}

/** Time left of something whose progress is told now and then, from the pace since it was first seen. */
export class Pace {
  #from = null;

  /** Note `percent`, answer the seconds left, or null while it is too early to say. */
  note(percent) {
    const now = performance.now() / 1000;
    if (!this.#from || percent < this.#from.percent) this.#from = { percent, now };
    const [done, took] = [percent - this.#from.percent, now - this.#from.now];
    return done < 3 || took < 1 ? null : ((100 - percent) * took) / done;
  }

  forget() {
    this.#from = null;
  }
}
