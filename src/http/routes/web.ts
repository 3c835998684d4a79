import { z } from 'zod'
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
    handler: () => {
      const content = openWebAsset(name)
      return ({ ctx }) => {
        ctx.set('Content-Security-Policy', CONTENT_SECURITY_POLICY)
        ctx.set('Cache-Control', 'no-cache')
        // A script tag of DeepSOC's page, which can be on another origin, has no CORS request.
        if (name === 'deepsoc.js') ctx.set('Cross-Origin-Resource-Policy', 'cross-origin')
        ctx.type = FILES[name]
        ctx.body = content()
      }
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
