import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Json } from '../harness/wait.ts'
import { ROOT } from '../servers/gateway.ts'

/** Every document of the repository, by its path from the root. */
export const DOCUMENTS: readonly string[] = [
  ...[
    'README.md',
    'README.zh.md',
    'CONTRIBUTING.md',
    'SECURITY.md',
    'CHANGELOG.md',
    '.github/PULL_REQUEST_TEMPLATE.md',
    'integrations/deepsoc/README.md',
  ],
  ...['docs', 'docs/zh'].flatMap((folder) =>
    readdirSync(join(ROOT, folder))
      .filter((name) => name.endsWith('.md'))
      .map((name) => `${folder}/${name}`),
  ),
]

/** True if a document is in Chinese; its commands are those of the English documents, which are run. */
export const isChinese = (document: string): boolean => document === 'README.zh.md' || document.startsWith('docs/zh/')

/** Returns the text of a file of the repository. */
export const readText = (file: string): string => readFileSync(join(ROOT, file), 'utf8')

/** The YAML parser of the AsyncAPI validator; nothing else in the project reads YAML. */
const require = createRequire(import.meta.url)
const yaml = createRequire(require.resolve('@asyncapi/parser'))('js-yaml') as { load(text: string): Json }

/** Returns a parsed YAML file of the repository. */
export const readYaml = (file: string): Json => yaml.load(readText(file))

export interface Block {
  readonly file: string
  /** `sh`, `ts` …; empty if not given. */
  readonly language: string
  readonly text: string
}

const FENCE = /^( *)```(\w*)\n(.*?)^\1```/gms

/** The fenced blocks of a document, without the indentation of those in a list. */
export const readBlocks = (file: string): Block[] =>
  [...readText(file).matchAll(FENCE)].map(([, indent, language, text]) => ({
    file,
    language: language!,
    text: text!.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  }))

/** Returns the texts between backticks in a document, outside of its blocks. */
export const readCodeSpans = (file: string): string[] =>
  [
    ...readText(file)
      .replace(FENCE, '')
      .matchAll(/(?<!`)`([^`\n]+)`(?!`)/g),
  ].map(([, name]) => name!)

/** Returns the anchors that GitHub generates for the headings of a document. */
export const readAnchors = (file: string): Set<string> =>
  new Set(
    [
      ...readText(file)
        .replace(FENCE, '')
        .matchAll(/^#+ (.+)$/gm),
    ].map(([, heading]) =>
      heading!
        .toLowerCase()
        .replace(/[^\p{L}\p{N}_ -]/gu, '')
        .replaceAll(' ', '-'),
    ),
  )
