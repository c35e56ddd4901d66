const first = 200;
const longest = 10_000;

/** The pause before the n-th further attempt, from 0, in milliseconds: growing, and half of it random. */
export function pause(n: number): number {
  const whole = Math.min(longest, first * 2 ** n);
  return whole / 2 + (Math.random() * whole) / 2;
}

/** Waits, or throws the reason of the signal. */
export function wait(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
