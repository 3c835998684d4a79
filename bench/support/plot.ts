import { NAMES } from '../peers/peer.ts'

/** A small SVG writer: grouped horizontal bars, and lines. Light background, readable without colours alone. */

const COLOURS = ['#1f6feb', '#d9480f', '#2f9e44', '#9c36b5', '#868e96', '#e8a200', '#0c8599', '#c2255c']
const FONT = 'font-family="system-ui, sans-serif"'
const INK = '#1b1f24'
const FAINT = '#d8dee4'

const escaped = (text: string): string => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;')

const label = (x: number, y: number, text: string, { size = 13, anchor = 'start', weight = 400, colour = INK } = {}) =>
  `<text x="${x}" y="${y}" ${FONT} font-size="${size}" font-weight="${weight}" text-anchor="${anchor}" fill="${colour}">${escaped(text)}</text>`

/** A number as people read it: four digits at most behind thousands or the point. */
export const readable = (value: number, digits?: number): string => {
  if (!Number.isFinite(value)) return '–'
  const places = digits ?? (Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2)
  return value.toLocaleString('en', { minimumFractionDigits: places, maximumFractionDigits: places })
}

const page = (width: number, height: number, title: string, parts: string[]): string =>
  [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    ...parts,
    '</svg>\n',
  ].join('\n')

export interface BarGroup {
  readonly group: string
  readonly bars: readonly { readonly name: string; readonly value: number }[]
}

/** One chart among those of a picture. */
export type Chart =
  | { readonly kind: 'bars'; readonly label: string; readonly groups: readonly BarGroup[] }
  | {
      readonly kind: 'lines'
      readonly x: string
      readonly y: string
      readonly lines: readonly { readonly name: string; readonly points: readonly (readonly [number, number])[] }[]
    }

const WIDTH = 900
const LEFT = 190
const RIGHT = 100

const KNOWN: readonly string[] = Object.values(NAMES)

/** A peer has the same colour in every picture. */
const getColour = (name: string): string => COLOURS[Math.max(0, KNOWN.indexOf(name)) % COLOURS.length]!

const bars = (chart: Chart & { kind: 'bars' }, top: number): { parts: string[]; height: number } => {
  const most = Math.max(...chart.groups.flatMap(({ bars: all }) => all.map(({ value }) => value)), 1e-9)
  const parts = [label(20, top + 16, chart.label, { size: 14, weight: 600 })]
  let y = top + 36
  for (const { group, bars: all } of chart.groups) {
    parts.push(label(20, y + 14, group, { weight: 600, size: 12, colour: '#57606a' }))
    y += 20
    for (const { name, value } of all) {
      const length = Math.max(1, (value / most) * (WIDTH - LEFT - RIGHT))
      parts.push(label(LEFT - 8, y + 14, name, { anchor: 'end', size: 12 }))
      parts.push(
        `<rect x="${LEFT}" y="${y + 2}" width="${length.toFixed(1)}" height="16" rx="2" fill="${getColour(name)}"/>`,
      )
      parts.push(label(LEFT + length + 6, y + 14, readable(value), { size: 12 }))
      y += 22
    }
    y += 6
  }
  return { parts, height: y - top + 10 }
}

/** Round steps for an axis from 0. */
const steps = (most: number): number[] => {
  const rough = most / 5
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough) ?? rough
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, index) => index * step)
}

const lines = (chart: Chart & { kind: 'lines' }, top: number): { parts: string[]; height: number } => {
  const [left, right, height] = [80, 30, 300]
  const all = chart.lines.flatMap(({ points }) => points)
  const [mostX, mostY] = [0, 1].map((axis) => Math.max(...all.map((point) => point[axis]!), 1e-9)) as [number, number]
  const leastY = Math.min(0, ...all.map(([, y]) => y))
  const atX = (x: number) => left + (x / mostX) * (WIDTH - left - right)
  const atY = (y: number) => top + 30 + height - ((y - leastY) / (mostY - leastY)) * height
  const parts = [label(20, top + 16, chart.y, { size: 14, weight: 600 })]
  for (const y of steps(mostY)) {
    parts.push(`<line x1="${left}" x2="${WIDTH - right}" y1="${atY(y)}" y2="${atY(y)}" stroke="${FAINT}"/>`)
    parts.push(label(left - 6, atY(y) + 4, readable(y, y % 1 === 0 ? 0 : 1), { anchor: 'end', size: 11 }))
  }
  for (const x of steps(mostX)) {
    parts.push(label(atX(x), top + height + 48, readable(x, x % 1 === 0 ? 0 : 1), { anchor: 'middle', size: 11 }))
  }
  parts.push(label(WIDTH - right, top + height + 66, chart.x, { anchor: 'end', size: 12 }))
  for (const [index, { name, points }] of chart.lines.entries()) {
    const path = points.map(([x, y]) => `${atX(x).toFixed(1)},${atY(y).toFixed(1)}`).join(' ')
    const colour = getColour(name)
    parts.push(`<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`)
    const y = top + height + 66
    parts.push(`<rect x="${left + index * 180}" y="${y - 10}" width="12" height="12" fill="${colour}"/>`)
    parts.push(label(left + index * 180 + 18, y, name, { size: 12 }))
  }
  return { parts, height: height + 90 }
}

/** A picture of one series: its title, a line below it, and one chart under the other. */
export const picture = (title: string, subtitle: string, charts: readonly Chart[]): string => {
  const parts = [
    label(20, 32, title, { size: 18, weight: 600 }),
    label(20, 52, subtitle, { size: 12, colour: '#57606a' }),
  ]
  let top = 72
  for (const chart of charts) {
    const drawn = chart.kind === 'bars' ? bars(chart, top) : lines(chart, top)
    parts.push(...drawn.parts)
    top += drawn.height
  }
  return page(WIDTH, top + 10, title, parts)
}
