import type { Download, Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { type Json, until } from '../harness/wait.ts'
import { getElementText } from './pages.ts'

/** The selector of a message's row. */
export const row = (id: number | undefined): string => `.row[data-id="${id}"]`

/** Waits until all of the history is loaded. */
export const isWhole = (page: Page): Promise<unknown> =>
  page.waitForSelector('#box[aria-busy="false"] .row[aria-posinset]')

/** Returns the db_ids of all messages in the timeline by scrolling from beginning to end. */
export const readThrough = async (page: Page): Promise<number[]> => {
  const { ids, disorder } = await page.evaluate(async () => {
    const box = document.getElementById('box')!
    const drawn = (): Promise<void> =>
      new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve())))
    // Rows on the screen are added a few per frame.
    const isFilled = (): boolean => {
      const [view, all, rows] = [box, ...box.querySelectorAll('.height, .rows')].map((one) =>
        one.getBoundingClientRect(),
      )
      return rows!.top <= Math.max(view!.top, all!.top) + 1 && rows!.bottom >= Math.min(view!.bottom, all!.bottom) - 1
    }
    const ids: number[] = []
    const disorder: number[][] = []
    box.scrollTop = 0
    for (;;) {
      do await drawn()
      while (!isFilled())
      const here = [...document.querySelectorAll<HTMLElement>('.row')].map(({ dataset }) => Number(dataset.id))
      if (here.some((id, index) => index > 0 && id <= here[index - 1]!)) disorder.push(here)
      ids.push(...here.filter((id) => id > (ids.at(-1) ?? 0)))
      const { scrollTop, clientHeight, scrollHeight } = box
      if (scrollTop + clientHeight >= scrollHeight - 1) return { ids, disorder }
      box.scrollTop = scrollTop + clientHeight
    }
  })
  assert.equal(disorder, [], 'each message once, in order')
  return ids
}

/** Waits until the war room counts this many messages, and asserts that it holds these, in order. */
export const holds = async (page: Page, ids: number[]): Promise<void> => {
  const count = `${ids.length.toLocaleString('en-US')} message${ids.length === 1 ? '' : 's'}`
  await until(async () => (await getElementText(page, '#count')) === count, { what: `"${count}"` })
  await isWhole(page)
  assert.equal(await readThrough(page), ids)
}

/** Returns the db_ids of the rows that are at least partly visible. */
export const seenIds = (page: Page): Promise<number[]> =>
  page.evaluate(() => {
    const { top, bottom } = document.getElementById('box')!.getBoundingClientRect()
    const rows = [...document.querySelectorAll<HTMLElement>('.row')]
    return rows
      .filter((one) => {
        const { top: above, bottom: below } = one.getBoundingClientRect()
        return below > top + 1 && above < bottom - 1
      })
      .map(({ dataset }) => Number(dataset.id))
  })

/** Waits until the message is visible. */
export const sees = (page: Page, id: number | undefined): Promise<unknown> =>
  until(async () => (await seenIds(page)).includes(id!), { what: `message ${id} in sight` })

/** Number of pixels of the timeline below the visible part. */
export const below = (page: Page): Promise<number> =>
  page.$eval('#box', ({ scrollHeight, scrollTop, clientHeight }) => scrollHeight - scrollTop - clientHeight)

/** Runs an action that saves a file. @returns its lines and its name */
const savedBy = async (page: Page, act: () => Promise<unknown>): Promise<{ lines: string[]; name: string }> => {
  const [download] = (await Promise.all([page.waitForEvent('download'), act()])) as [Download, Json]
  const chunks: Buffer[] = []
  for await (const chunk of await download.createReadStream()) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString('utf8')
  assert.ok(text.endsWith('\n'))
  return { lines: text.slice(0, -1).split('\n'), name: download.suggestedFilename() }
}

/** Saves messages by the dialog of a war room. @param isWhole what to choose if there is a filter; else the default */
export const exportAs = (
  page: Page,
  format: 'html' | 'markdown' | 'lines',
  isWhole?: boolean,
): Promise<{ lines: string[]; name: string }> =>
  savedBy(page, async () => {
    await page.click('#export')
    if (isWhole !== undefined) await page.check(`[name="scope"][value="${isWhole ? 'whole' : 'filtered'}"]`)
    await page.click(`#export-${format}`)
  })

/** Records all texts of the connection badge from now on. @returns them */
export const watchLine = async (page: Page): Promise<() => Promise<string[]>> => {
  await page.evaluate(() => {
    const texts: string[] = []
    const note = (): void => {
      const text = document.querySelector('#state summary')?.textContent?.trim() ?? ''
      if (text !== texts.at(-1)) texts.push(text)
    }
    new MutationObserver(note).observe(document.body, { subtree: true, childList: true, characterData: true })
    note()
    Object.assign(globalThis, { lineTexts: texts })
  })
  return () => page.evaluate(() => (globalThis as Json).lineTexts)
}
