/** Plots are drawn in the pixels that they have, so that their letters have one size on a phone and on a wide screen. */
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { RefObject } from 'preact';

/** Until the place is known. */
export const WIDTH = 640;
const LEAST = 200;

export function useWidth(): [RefObject<HTMLElement>, number] {
  const figure = useRef<HTMLElement>(null);
  const [width, set] = useState(WIDTH);
  useLayoutEffect(() => {
    const element = figure.current;
    if (!element) return;
    const measure = () => set(Math.max(LEAST, Math.round(element.clientWidth)));
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [figure, width];
}
