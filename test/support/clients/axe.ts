import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import type { Json } from '../harness/wait.ts'
import { ROOT } from '../servers/gateway.ts'

const AXE = readFileSync(join(ROOT, 'node_modules/axe-core/axe.min.js'), 'utf8')

/** Returns the problems that axe finds in a page: each rule and the elements. */
export const violations = async (page: Page): Promise<string[]> => {
  if (!(await page.evaluate('"axe" in window'))) await page.evaluate(AXE)
  // Report violations only: details of passed rules take longer than the check itself.
  return page.evaluate(async () => {
    const { violations: found } = await (globalThis as Json).axe.run({ resultTypes: ['violations'] })
    return found.map(({ id, nodes }: Json) => `${id}: ${nodes.map(({ target }: Json) => target).join(' ')}`)
  })
}
