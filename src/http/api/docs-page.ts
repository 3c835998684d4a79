import { createHash } from 'node:crypto'
import { ERRORS } from '../../core/errors.ts'
import type { RouteAccess, RouteDescription } from '../route.ts'
import { type JsonSchema, jsonSchema } from './json-schema.ts'
import { describeRoute, listErrorCodes, listParameters } from './openapi.ts'
import { STREAM_EVENTS, StreamedMessageSchema } from './schemas.ts'

const STYLE = `
:root {
  color-scheme: light dark;
  --paper: light-dark(#f5f6f8, #0d1116); --card: light-dark(#ffffff, #141a21); --ink: light-dark(#161c23, #e4eaf1);
  --faint: light-dark(#596573, #93a1b0); --line: light-dark(#dde1e7, #252e39); --link: light-dark(#0a58b0, #74b4ff);
}
* { box-sizing: border-box }
body {
  margin: 0 auto; max-width: 64rem; padding: 0 1rem 4rem; background: var(--paper); color: var(--ink);
  font: .9375rem/1.55 system-ui, -apple-system, "Segoe UI", "Noto Sans SC", "PingFang SC", "Microsoft YaHei", sans-serif;
  overflow-wrap: anywhere;
}
a { color: var(--link); text-underline-offset: .15em }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; padding: .75rem 0; border-bottom: 1px solid var(--line) }
h1 { margin: 1.5rem 0 .5rem; font-size: 1.5rem; letter-spacing: -.015em }
h2 { margin: 2.5rem 0 1rem; font-size: 1.25rem }
h3 { margin: 0 0 .35rem; font-size: 1rem }
p { margin: .5rem 0; max-width: 75ch }
section { margin: .75rem 0; padding: 1rem; background: var(--card); border: 1px solid var(--line); border-radius: 8px }
code, pre { font: .8125rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", "DejaVu Sans Mono", monospace }
h3 code { font-size: .9375rem; font-weight: 650 }
pre { margin: .5rem 0; padding: .7rem; overflow: auto; background: var(--paper); border: 1px solid var(--line); border-radius: 6px }
table { border-collapse: collapse; width: 100%; overflow-wrap: normal }
th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); text-align: start; vertical-align: top }
th { color: var(--faint); font-weight: 600 }
.wide { overflow-x: auto }
details { margin: .5rem 0 0 }
summary { cursor: pointer; color: var(--faint) }
`

/** Allows only this inline style and nothing else. */
export const DOCS_CSP = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`

const escaped = (text: string): string =>
  text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`).replace(/`([^`]+)`/g, '<code>$1</code>')

const code = (text: string): string => `<code>${escaped(text)}</code>`

const pre = (value: unknown): string =>
  `<pre tabindex="0">${escaped(typeof value === 'string' ? value : JSON.stringify(value, null, 2))}</pre>`

const table = (heads: readonly string[], rows: readonly (readonly string[])[]): string => {
  if (rows.length === 0) return ''
  const head = heads.map((text) => `<th scope="col">${text}</th>`).join('')
  const body = rows.map((cells) => `<tr>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`).join('\n')
  return `<div class="wide" tabindex="0" role="group" aria-label="Table"><table><thead><tr>${head}</tr></thead><tbody>\n${body}\n</tbody></table></div>`
}

const details = (summary: string, inside: string): string => `<details><summary>${summary}</summary>${inside}</details>`

/** Returns a short name for the type of a schema. */
const describeType = (schema: JsonSchema): string => {
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (Array.isArray(schema.enum)) return schema.enum.join(' | ')
  const some = (schema.anyOf ?? schema.oneOf) as JsonSchema[] | undefined
  if (some !== undefined) return some.map(describeType).join(' or ')
  if (schema.type === 'array') return `list of ${describeType(schema.items as JsonSchema)}`
  return typeof schema.type === 'string' ? schema.type : 'anything'
}

const renderFields = (schema: JsonSchema): string => {
  const required = new Set(schema.required as string[] | undefined)
  const rows = Object.entries((schema.properties ?? {}) as Record<string, JsonSchema>).map(([name, field]) => [
    code(name) + (required.has(name) ? ' (required)' : ''),
    escaped(describeType(field)),
    escaped(String(field.description ?? '')),
  ])
  return table(['field', 'type', 'description'], rows)
}

const credentialsFor = (access: RouteAccess): string => {
  if (access === 'public') return 'No token required.'
  return `Authentication: Bearer token, ${access === 'stream' ? 'ticket, ' : ''}or cookie.`
}

const renderRoute = (route: RouteDescription): string => {
  const { method, path, access, summary, body, responses } = route
  const id = `${method}${path}`.toLowerCase().replace(/[^a-z]+/g, '-')
  const rows = listParameters(route).map(({ name, in: place, schema, description }) => [
    code(name),
    place,
    escaped(describeType(schema)),
    escaped(description),
  ])
  const codes = listErrorCodes(route).map((one) => `<a href="#${one}">${code(one)}</a>`)
  return [
    `<section aria-labelledby="${id}"><h3 id="${id}">${code(`${method} ${path}`)}</h3>`,
    `<p>${escaped(summary)}. ${escaped(describeRoute(route) ?? '')} ${credentialsFor(access)}</p>`,
    table(['parameter', 'in', 'type', 'description'], rows),
    body === undefined ? '' : `<p>Body: ${escaped(body.description)}</p>${pre(body.example)}`,
    ...Object.entries(responses).map(([status, { description, text, example }]) => {
      const shown = example ?? text?.example
      return `<p>${status}: ${escaped(description)}</p>${shown === undefined ? '' : pre(shown)}`
    }),
    details('Errors', `<p>${codes.join(', ')}</p>`),
    '</section>',
  ].join('\n')
}

/** Renders both documents as one HTML page without scripts. */
export const renderDocsPage = (version: string, routes: readonly RouteDescription[]): string => {
  const events = Object.entries(STREAM_EVENTS).map(
    ([name, { id, data, description }]) =>
      `<section><h3 id="event-${name}">${code(name)}</h3><p>${escaped(description)} ${id ? 'Carries an id.' : ''}</p>${renderFields(jsonSchema(data, 'output'))}</section>`,
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
<nav aria-label="Page"><a href="./">Events</a> <a href="health">Health</a> <a href="#calls">Calls</a> <a href="#events">Events of a stream</a> <a href="#amqp">AMQP</a> <a href="#errors">Errors</a></nav>
<h1>deepsoc-gateway ${escaped(version)}</h1>
<p>A subscriber is defined by its cursor: live or later, it receives the messages of its events with a <code>db_id</code> greater
than the cursor, in ascending order. For programs: <a href="openapi.json">openapi.json</a>, <a href="asyncapi.json">asyncapi.json</a>.</p>
</header>
<main>
<h2 id="calls">Calls</h2>
${routes.map(renderRoute).join('\n')}
<h2 id="events">Events of a stream</h2>
${events.join('\n')}
<h2 id="amqp">AMQP</h2>
<p>One JSON object in UTF-8, to the topic exchange, with a routing key that matches the binding, by convention
<code>notifications.frontend.&lt;event_id&gt;.&lt;message_type&gt;</code>. All other fields pass through.</p>
${renderFields(jsonSchema(StreamedMessageSchema, 'input'))}
<h2 id="errors">Errors</h2>
<p><code>{"status":"error","code":…,"message":…,"hint":…}</code></p>
${table(['code', 'status', 'retryable', 'what to do'], errors)}
</main>
</body>
</html>
`
}
