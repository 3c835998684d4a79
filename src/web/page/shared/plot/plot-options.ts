import uPlot from 'uplot'
import { distinct, timeLabels } from './time-labels.ts'

export interface PlotSeries {
  readonly label: string
  /** A CSS colour, or the name of a custom property: `--role-captain`. */
  readonly colour: string
  /** One value per time; null if unknown. */
  readonly values: readonly (number | null)[]
}

export interface PlotProps {
  /** Seconds since 1970, ascending. */
  readonly times: readonly number[]
  readonly series: readonly PlotSeries[]
  /** Draws stacked bars instead of lines. */
  readonly stacked?: boolean
  /** In CSS pixels. */
  readonly height?: number
  /** Description for screen readers. */
  readonly label: string
  /** Formats a value with its unit. */
  readonly format?: (value: number) => string
  /** Called with the range that was dragged, or the step that was clicked: seconds, `to` exclusive. */
  readonly onRange?: (from: number, to: number) => void
  /** Interval between times in seconds, if it is constant: the width of a bar and of a click. */
  readonly step?: number
}

const HEIGHT = 120
/** Minimum distance between two times on the axis, in pixels: a day and a time fit. */
const TIME_SPACE_PX = 84
/** A pointer movement of fewer pixels is a click. */
const CLICK_PX = 4

/** Returns cumulative sums: each column with all previous ones added. */
export const stack = (columns: readonly (readonly (number | null)[])[]): number[][] => {
  const sums: number[][] = []
  for (const column of columns) {
    const below = sums.at(-1)
    sums.push(column.map((value, index) => (value ?? 0) + (below?.[index] ?? 0)))
  }
  return sums
}

interface PlotHooks {
  /** Called with the index of the time under the pointer; null if there is none. */
  readonly onHover: (index: number | null) => void
  readonly onSelect: (from: number, to: number) => void
}

/** Returns the uPlot options, with the current colours of the page. */
export const plotOptions = (host: HTMLElement, props: PlotProps, { onHover, onSelect }: PlotHooks): uPlot.Options => {
  const style = getComputedStyle(host)
  const colour = (name: string): string => (name.startsWith('--') ? style.getPropertyValue(name).trim() : name)
  const [ink, line] = [colour('--faint'), colour('--line')]
  const { stacked = false, height = HEIGHT, step } = props
  const bars = uPlot.paths.bars!({ size: [0.8, 24, 1], align: 1 })
  const drawn = props.series.map(({ label, colour: name }) => ({
    label,
    stroke: colour(name),
    width: stacked ? 0 : 1.5,
    points: { show: false },
    ...(stacked ? { fill: colour(name), paths: bars } : {}),
  }))
  const axis = { stroke: ink, font: '11px system-ui, sans-serif', ticks: { show: false } }
  return {
    width: Math.max(1, host.clientWidth),
    height,
    padding: [8, 16, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: props.onRange !== undefined, y: false, setScale: false } },
    // The top of a stack is drawn first, so that the lower bars cover it.
    series: [{}, ...(stacked ? drawn.reverse() : drawn)],
    scales: {
      x: { time: true, ...(step === undefined ? {} : { range: (_plot, min, max) => [min, max + step] }) },
      y: { range: (_plot, _min, max) => [0, Math.max(1, max * 1.05)] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 20,
        gap: 2,
        space: TIME_SPACE_PX,
        values: (_plot, splits, _axis, _space, step) => timeLabels(splits, step),
      },
      {
        ...axis,
        grid: { stroke: line, width: 1 },
        size: 36,
        gap: 4,
        space: 28,
        incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 100_000, 1_000_000],
        ...(props.format === undefined ? {} : { values: (_plot, splits) => distinct(splits.map(props.format!)) }),
      },
    ],
    hooks: {
      setCursor: [(plot) => onHover(plot.cursor.idx ?? null)],
      ready: [(plot) => props.onRange !== undefined && takeClicks(plot, step ?? 60, onSelect)],
      setSelect: [
        (plot) => {
          if (plot.select.width < CLICK_PX) return
          const [from, to] = [plot.select.left, plot.select.left + plot.select.width].map((x) => plot.posToVal(x, 'x'))
          onSelect(from!, to!)
          plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false)
        },
      ],
    },
  }
}

const takeClicks = (plot: uPlot, step: number, onClick: PlotHooks['onSelect']): void => {
  let downAt = 0
  plot.over.addEventListener('pointerdown', (event) => (downAt = event.clientX))
  plot.over.addEventListener('click', (event) => {
    const from = plot.data[0][plot.cursor.idx ?? -1]
    if (from !== undefined && Math.abs(event.clientX - downAt) < CLICK_PX) onClick(from, from + step)
  })
}
