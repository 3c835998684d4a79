import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import { clockMinute, shortDay } from '../format.ts'
import { html, type View } from '../html.ts'
import { useSignalValue } from '../signal.ts'
import { scheme } from '../theme.ts'
import { type PlotProps, plotOptions, stack } from './plot-options.ts'

const usual = (value: number): string => String(Math.round(value * 100) / 100)

/** A time series plot that fills the available width, with a readout of the values under the pointer. */
export const Plot = (props: PlotProps): View => {
  const box = useRef<HTMLDivElement>(null)
  const readout = useRef<HTMLParagraphElement>(null)
  const kept = useRef<uPlot | null>(null)
  const now = useRef(props)
  now.current = props
  const shown = useSignalValue(scheme)
  const shape = [
    shown,
    props.stacked,
    props.height,
    props.step,
    ...props.series.map(({ label, colour }) => label + colour),
  ].join('\n')

  useEffect(() => {
    const host = box.current!
    const showReadout = (index: number | null): void => {
      readout.current!.textContent = index === null ? '' : readingAt(now.current, index)
    }
    const plot = new uPlot(
      plotOptions(host, now.current, { onHover: showReadout, onSelect: (from, to) => now.current.onRange?.(from, to) }),
      toAlignedData(now.current),
      host,
    )
    kept.current = plot
    const watch = new ResizeObserver(() => plot.setSize({ width: host.clientWidth, height: plot.height }))
    watch.observe(host)
    return () => {
      watch.disconnect()
      plot.destroy()
      kept.current = null
    }
  }, [shape])

  useEffect(() => kept.current?.setData(toAlignedData(props)), [props.times, props.series])

  return html`
    <figure class="plot" role="img" aria-label=${props.label}>
      <div ref=${box} class=${props.onRange ? 'plot-box choosing' : 'plot-box'}></div>
      <p ref=${readout} class="plot-readout" aria-hidden="true"></p>
    </figure>
  `
}

const toAlignedData = ({ times, series, stacked = false }: PlotProps): uPlot.AlignedData => {
  const columns = series.map(({ values }) => values)
  return [times, ...(stacked ? stack(columns).reverse() : columns)] as unknown as uPlot.AlignedData
}

const readingAt = ({ times, series, format = usual }: PlotProps, index: number): string => {
  const at = times[index]
  if (at === undefined) return ''
  const values = series.flatMap(({ label, values }) => {
    const value = values[index]
    return value === null || value === undefined || value === 0 ? [] : [`${label} ${format(value)}`]
  })
  return [`${shortDay(at * 1000)} ${clockMinute(at * 1000)}`, ...values].join(' · ')
}
