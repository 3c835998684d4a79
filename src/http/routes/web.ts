import type { Context } from 'koa'
import * as z from 'zod'
import { EXAMPLE_EVENT, type Fields } from '../parameters.ts'
import { defineRoute } from '../route.ts'
import { openWebAsset } from '../web-assets.ts'

const FILES = {
  'index.html': 'text/html; charset=utf-8',
  'page.js': 'text/javascript; charset=utf-8',
  'page.css': 'text/css; charset=utf-8',
  'client.js': 'text/javascript; charset=utf-8',
  'deepsoc.js': 'text/javascript; charset=utf-8',
} as const

/** Blocks images with URLs, which could exfiltrate data, and allows HTML from the sanitizer only. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  'trusted-types dompurify',
].join('; ')

export interface WebOptions {
  /** Prefix of all paths; '' if there is none. */
  readonly basePath: string
}

/** Returns a file with the addresses that depend on the base path. page.js finds it by its own address. */
const withBasePath = (name: keyof typeof FILES, content: Buffer, basePath: string): Buffer | string => {
  if (basePath === '') return content
  if (name === 'index.html') return content.toString().replaceAll('="/page.', `="${basePath}/page.`)
  // The default of `base`, which src/web/client/endpoint.ts reads.
  if (name === 'client.js') return `const GATEWAY_BASE=${JSON.stringify(basePath)};${content}`
  return content
}

const fileSender = (name: keyof typeof FILES, { basePath }: WebOptions) => {
  const content = openWebAsset(name)
  return (ctx: Context): void => {
    ctx.set('Content-Security-Policy', CONTENT_SECURITY_POLICY)
    ctx.set('Cache-Control', 'no-cache')
    // A script tag of DeepSOC's page, which can be on another origin, has no CORS request.
    if (name === 'deepsoc.js') ctx.set('Cross-Origin-Resource-Policy', 'cross-origin')
    ctx.type = FILES[name]
    ctx.body = withBasePath(name, content(), basePath)
  }
}

/**
 * Returns a function that answers a browser with the page and the status 404, on which the page shows that there is
 * nothing. It returns false for other clients, which get an error in JSON.
 */
export const createUnknownPathPage = (options: WebOptions): ((ctx: Context) => boolean) => {
  const send = fileSender('index.html', options)
  return (ctx) => {
    const isRead = ctx.method === 'GET' || ctx.method === 'HEAD'
    ctx.vary('Accept')
    if (!isRead || ctx.accepts('json', 'html') !== 'html') return false
    send(ctx)
    ctx.status = 404
    return true
  }
}

const webRoute = (path: string, name: keyof typeof FILES, summary: string, description: string, params: Fields = {}) =>
  defineRoute({
    method: 'GET',
    path,
    access: 'public',
    tag: 'page',
    summary,
    description,
    params,
    responses: { 200: { description: 'The file.', text: { type: FILES[name].split(';')[0]! } } },
    handler: (options: WebOptions) => {
      const send = fileSender(name, options)
      return ({ ctx }) => send(ctx)
    },
  })

// Any string is accepted: the page itself reports an invalid event id.
const event_id = z.string().meta({ description: 'The event, percent-encoded.', example: EXAMPLE_EVENT })

const SHELL = 'The page itself has no data; its script requests them with the token of the user.'

/** All pages are the same file, whose script selects the view by URL. */
export const WEB_ROUTES = [
  webRoute('/', 'index.html', 'The web page', `Lists the events. ${SHELL}`),
  webRoute('/events/:event_id', 'index.html', 'The war room of one event', `Shows an event as it goes on. ${SHELL}`, {
    event_id,
  }),
  webRoute('/health', 'index.html', 'The health page', `Shows /api/health to callers with the scope admin. ${SHELL}`),
  webRoute('/page.js', 'page.js', 'Script of the web pages', 'One bundle for all of them.'),
  webRoute('/page.css', 'page.css', 'Style sheet of the web pages', 'One file for all of them.'),
  webRoute(
    '/client.js',
    'client.js',
    'Client library for browsers',
    'A module; docs/CLIENT.md describes its functions.',
  ),
  webRoute(
    '/deepsoc.js',
    'deepsoc.js',
    "Script that connects DeepSOC's war room to the gateway",
    'A classic script, to be loaded after those of DeepSOC.',
  ),
]
