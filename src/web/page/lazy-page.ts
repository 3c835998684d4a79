import { useEffect, useState } from 'preact/hooks'
import { html, type View } from './shared/html.ts'

/**
 * Returns a component that evaluates its module when it is first shown, in a task of its own: evaluating the script of all
 * pages at once blocks the browser for too long. Until then it shows nothing.
 */
export const lazyPage = <Props extends object>(load: () => Promise<(props: Props) => View>) => {
  let loaded: ((props: Props) => View) | null = null
  return (props: Props): View => {
    const [page, setPage] = useState(() => loaded)
    useEffect(() => {
      if (page !== null) return
      let isLeft = false
      const show = async (): Promise<void> => {
        loaded = await load()
        // A task of its own for the first rendering, too.
        setTimeout(() => isLeft || setPage(() => loaded))
      }
      show()
      return () => {
        isLeft = true
      }
    }, [])
    return page === null ? null : html`<${page} ...${props} />`
  }
}
