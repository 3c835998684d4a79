import { readText } from '../repo/documents.ts'
import { FAULT_TABLE, type FaultExpectation, type Text } from './fault-table.ts'

type Language = keyof Text

const BEGIN = '<!-- Generated from test/support/resilience/fault-table.ts by: npm run fault-table -->'
const END = '<!-- End of the generated table -->'

/** The documents with the table, by language. */
export const FAULT_DOCUMENTS: Readonly<Record<Language, string>> = {
  en: 'docs/OPERATIONS.md',
  zh: 'docs/zh/OPERATIONS.md',
}

const WORDS: Readonly<
  Record<
    Language,
    {
      head: string[]
      answer: string
      startup: string
      metric: string
      alert: string
      log: string
      separator: string
      comma: string
      colon: string
    }
  >
> = {
  en: {
    head: ['failure', 'where it is seen', 'messages', 'streams and REST'],
    answer: 'answer ',
    startup: 'exit code 1: ',
    metric: 'metric ',
    alert: 'alert ',
    log: 'log: ',
    separator: '; ',
    comma: ', ',
    colon: ': ',
  },
  zh: {
    head: ['故障', '在哪里看到', '消息', '流和 REST'],
    answer: '应答 ',
    startup: '退出码 1：',
    metric: '指标 ',
    alert: '告警 ',
    log: '日志：',
    separator: '；',
    comma: '、',
    colon: '：',
  },
}

const quoted = (names: readonly string[], language: Language): string =>
  names.map((name) => `\`${name}\``).join(WORDS[language].comma)

/** Each component with its codes, and those with the same codes together: `consumer`, `publisher`: `code`. */
const components = (named: NonNullable<FaultExpectation['named']>, language: Language): string[] => {
  const codes = [...Map.groupBy(named, ([component]) => component)].map(
    ([component, of]) =>
      [
        component,
        quoted(
          of.map(([, code]) => code),
          language,
        ),
      ] as const,
  )
  return [...Map.groupBy(codes, ([, text]) => text)].map(
    ([text, of]) =>
      `${quoted(
        of.map(([component]) => component),
        language,
      )}${WORDS[language].colon}${text}`,
  )
}

const seenIn = (row: FaultExpectation, language: Language): string => {
  const { answer, startup, metric, alert, log } = row
  const words = WORDS[language]
  const parts = components(row.named ?? [], language)
  if (answer !== undefined) parts.push(words.answer + quoted([answer], language))
  if (startup !== undefined) parts.push(words.startup + quoted(startup, language))
  if (metric !== undefined) parts.push(words.metric + quoted([metric], language))
  if (alert !== undefined) parts.push(words.alert + quoted([alert], language))
  if (log !== undefined) parts.push(words.log + quoted([log], language))
  return parts.length === 0 ? '–' : parts.join(words.separator)
}

const renderTable = (language: Language): string => {
  const rows = FAULT_TABLE.map((row) =>
    [row.fault, null, row.messages, row.readers].map((text) =>
      text === null ? seenIn(row, language) : text[language],
    ),
  )
  const { head } = WORDS[language]
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

/** Returns the text of a document with the table of the faults in it. @throws Error if it has no place for it */
export const withFaultTable = (language: Language): string => {
  const text = readText(FAULT_DOCUMENTS[language])
  const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)]
  if (from < 0 || to < from) throw new Error(`${FAULT_DOCUMENTS[language]} has no generated table of faults`)
  return `${text.slice(0, from)}${BEGIN}\n\n${renderTable(language)}\n\n${text.slice(to)}`
}
