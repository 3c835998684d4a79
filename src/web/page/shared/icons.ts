import { html, type View } from './html.ts'

/** Stroke paths on a 24 × 24 grid. */
const PATHS = {
  logo: 'M4 5h16M4 12h10M4 19h6M18 12l3 3.5L18 19M21 15.5h-7',
  system:
    'M12 8.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7M12 3v3M12 18v3M3 12h3M18 12h3M5.6 5.6l2.2 2.2M16.2 16.2l2.2 2.2M18.4 5.6l-2.2 2.2M7.8 16.2l-2.2 2.2',
  captain: 'M12 3l7.5 2.8v5.4c0 4.6-3.1 8-7.5 9.8-4.4-1.8-7.5-5.2-7.5-9.8V5.8zM8.8 12l2.3 2.3 4.2-4.6',
  manager: 'M8 4h8v3H8zM8 5.5H5.5V20h13V5.5H16M8.5 11.5h7M8.5 15.5h7',
  operator: 'M4 5h16v14H4zM7.5 9.5l3 2.5-3 2.5M12.5 15h4',
  executor: 'M13 3L5 13.5h6L10.5 21 19 10.5h-6z',
  expert: 'M12 3a6 6 0 0 0-3.6 10.8c.7.6 1.1 1.3 1.1 2.2h5c0-.9.4-1.6 1.1-2.2A6 6 0 0 0 12 3M9.7 19h4.6M10.7 21.5h2.6',
  ai: 'M12 3.5l1.9 5.1 5.1 1.9-5.1 1.9L12 17.5l-1.9-5.1L5 10.5l5.1-1.9zM18.5 15.5l.9 2.1 2.1.9-2.1.9-.9 2.1-.9-2.1-2.1-.9 2.1-.9z',
  user: 'M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8M4.5 20.5c.8-4 3.7-6 7.5-6s6.7 2 7.5 6',
  sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M18.7 5.3l-1.4 1.4M6.7 17.3l-1.4 1.4',
  moon: 'M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z',
  screen: 'M3.5 4.5h17v11h-17zM8.5 20h7M12 15.5V20',
  search: 'M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13M15.3 15.3L20.5 20.5',
  filter: 'M4 5.5h16L14 12.5V19l-4-2v-4.5z',
  link: 'M10 14a4 4 0 0 0 5.7 0l3.6-3.6a4 4 0 0 0-5.7-5.7L12.5 6M14 10a4 4 0 0 0-5.7 0l-3.6 3.6a4 4 0 0 0 5.7 5.7L11.5 18',
  copy: 'M9 9h11v11H9zM15 9V4H4v11h5',
  download: 'M12 4v11M7.5 11l4.5 4.5 4.5-4.5M4.5 20h15',
  keyboard: 'M3 6.5h18v11H3zM6.5 10h.1M10 10h.1M13.5 10h.1M17 10h.1M7.5 14h9',
  close: 'M6 6l12 12M18 6L6 18',
  down: 'M12 5v13M6.5 12.5L12 18l5.5-5.5',
  up: 'M12 19V6M6.5 11.5L12 6l5.5 5.5',
  back: 'M19 12H5.5M11.5 6L5.5 12l6 6',
  warn: 'M12 4l9 16H3zM12 10v4.5M12 17.3v.4',
  braces:
    'M9 4.5c-2.5 0-3 1-3 3v1.5c0 1.6-.8 2.6-2 3 1.2.4 2 1.4 2 3v1.5c0 2 .5 3 3 3M15 4.5c2.5 0 3 1 3 3v1.5c0 1.6.8 2.6 2 3-1.2.4-2 1.4-2 3v1.5c0 2-.5 3-3 3',
  out: 'M14 4h6v16h-6M4 12h11M11 8l4 4-4 4',
} as const

/** A decorative icon, hidden from screen readers. */
export const Icon = ({ name }: { readonly name: keyof typeof PATHS }): View =>
  html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d=${PATHS[name]} /></svg>`
