import { createHash } from 'node:crypto'
import { ERRORS } from '../../message/errors.ts'
import { type Json, jsonSchema } from './json-schema.ts'
import { errorsOf, OPERATIONS } from './openapi.ts'
import type { Operation } from './operation.ts'
import { SentMessage, STREAM_EVENTS } from './schemas.ts'

const STYLE = `
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #8886 }
h3 { margin: 1.8rem 0 .3rem; font-size: 1.05rem }
code, pre { font: .875em/1.45 ui-monospace, monospace }
pre { padding: .7rem; overflow: auto; background: #8881; border-radius: 4px }
table { border-collapse: collapse; display: block; overflow-x: auto }
th, td { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #8883 }
details { margin: .4rem 0 }
`

/** Only this very style, and nothing else. */
export const PAGE_POLICY = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`

const escaped = (text: string): string =>
  text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`).replace(/`([^`]+)`/g, '<code>$1</code>')

const code = (text: string): string => `<code>${escaped(text)}</code>`

const pre = (value: unknown): string =>
  `<pre tabindex="0">${escaped(typeof value === 'string' ? value : JSON.stringify(value, null, 2))}</pre>`

const table = (heads: readonly string[], rows: readonly (readonly string[])[]): string => {
  if (rows.length === 0) return ''
  const head = heads.map((text) => `<th scope="col">${text}</th>`).join('')
  const body = rows.map((cells) => `<tr>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`).join('\n')
  return `<table><thead><tr>${head}</tr></thead><tbody>\n${body}\n</tbody></table>`
}

const details = (summary: string, inside: string): string => `<details><summary>${summary}</summary>${inside}</details>`

/** What a schema says in a word or two. */
const typeOf = (schema: Json): string => {
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (Array.isArray(schema.enum)) return schema.enum.join(' | ')
  const some = (schema.anyOf ?? schema.oneOf) as Json[] | undefined
  if (some !== undefined) return some.map(typeOf).join(' or ')
  if (schema.type === 'array') return `list of ${typeOf(schema.items as Json)}`
  return typeof schema.type === 'string' ? schema.type : 'anything'
}

const fieldsOf = (schema: Json): string => {
  const required = new Set(schema.required as string[] | undefined)
  const rows = Object.entries((schema.properties ?? {}) as Record<string, Json>).map(([name, field]) => [
    code(name) + (required.has(name) ? ' (required)' : ''),
    escaped(typeOf(field)),
    escaped(String(field.description ?? '')),
  ])
  return table(['field', 'type', 'meaning'], rows)
}

const NEEDS = {
  nothing: 'Open to everybody.',
  token: 'With tokens: Bearer, or the cookie.',
  stream: 'With tokens: Bearer, a ticket, or the cookie.',
}

const callOf = (route: string, operation: Operation): string => {
  const { summary, description, needs, parameters = [], body, answers } = operation
  const id = route.toLowerCase().replace(/[^a-z]+/g, '-')
  const rows = parameters.map(({ name, in: place, schema, meaning }) => [
    code(name),
    place,
    escaped(typeOf(jsonSchema(schema, 'output'))),
    escaped(meaning),
  ])
  const codes = errorsOf(route.split(' ')[0]!, operation).map((one) => `<a href="#${one}">${code(one)}</a>`)
  return [
    `<h3 id="${id}">${code(route)}</h3>`,
    `<p>${escaped(summary)}. ${escaped(description ?? '')} ${NEEDS[needs]}</p>`,
    table(['parameter', 'in', 'type', 'meaning'], rows),
    body === undefined ? '' : `<p>Body: ${escaped(body.meaning)}</p>${pre(body.example)}`,
    ...Object.entries(answers).map(([status, { meaning, text, example }]) => {
      const shown = example ?? text?.example
      return `<p>${status}: ${escaped(meaning)}</p>${shown === undefined ? '' : pre(shown)}`
    }),
    details('Errors', `<p>${codes.join(', ')}</p>`),
  ].join('\n')
}

/** Both documents as one page to read, without a script. */
export const makePage = (version: string): string => {
  const events = Object.entries(STREAM_EVENTS).map(
    ([name, { id, data, meaning }]) =>
      `<h3 id="event-${name}">${code(name)}</h3><p>${escaped(meaning)} ${id ? 'Carries an id.' : ''}</p>${fieldsOf(jsonSchema(data, 'output'))}`,
  )
  const errors = Object.entries(ERRORS).map(([name, { status, retryable, hint }]) => [
    `<span id="${name}">${code(name)}</span>`,
    String(status),
    retryable ? 'yes' : 'no',
    escaped(hint),
  ])
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>deepsoc-gateway ${escaped(version)}: API</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>deepsoc-gateway ${escaped(version)}</h1>
<p>A reader is a cursor: what it receives, live or later, is the messages of its events with a <code>db_id</code> greater
than the cursor, ascending. For programs: <a href="/openapi.json">openapi.json</a>, <a href="/asyncapi.json">asyncapi.json</a>.</p>
<nav><a href="#calls">Calls</a> · <a href="#events">Events of a stream</a> · <a href="#amqp">AMQP</a> · <a href="#errors">Errors</a></nav>
</header>
<main>
<h2 id="calls">Calls</h2>
${Object.entries(OPERATIONS)
  .map(([route, operation]) => callOf(route, operation))
  .join('\n')}
<h2 id="events">Events of a stream</h2>
${events.join('\n')}
<h2 id="amqp">AMQP</h2>
<p>One JSON object in UTF-8, to the topic exchange, with a routing key that the binding lets through, by convention
<code>notifications.frontend.&lt;event_id&gt;.&lt;message_type&gt;</code>. All other fields pass through.</p>
${fieldsOf(jsonSchema(SentMessage, 'input'))}
<h2 id="errors">Errors</h2>
<p><code>{"status":"error","code":…,"message":…,"hint":…}</code></p>
${table(['code', 'status', 'try again', 'what to do'], errors)}
</main>
</body>
</html>
`
}
