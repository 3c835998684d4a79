import type Router from '@koa/router'
import { openWebAsset } from '../web-assets.ts'

const FILES = {
  'index.html': 'text/html; charset=utf-8',
  'page.js': 'text/javascript; charset=utf-8',
  'page.css': 'text/css; charset=utf-8',
  'client.js': 'text/javascript; charset=utf-8',
} as const

type Name = keyof typeof FILES

/** No image has an address, so none can carry anything away; markup comes out of the sanitiser, or not at all. */
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

/** All pages are one file; which of them it shows is up to its script. */
export const registerWebRoutes = (router: Router): void => {
  const routes: [string, Name][] = [
    ['/', 'index.html'],
    ['/events/:event_id', 'index.html'],
    ['/health', 'index.html'],
    ['/page.js', 'page.js'],
    ['/page.css', 'page.css'],
    ['/client.js', 'client.js'],
  ]
  const contents = new Map(routes.map(([, name]) => [name, openWebAsset(name)]))
  for (const [path, name] of routes) {
    router.get(path, (ctx) => {
      ctx.set('Content-Security-Policy', CONTENT_SECURITY_POLICY)
      ctx.set('Cache-Control', 'no-cache')
      ctx.type = FILES[name]
      ctx.body = contents.get(name)!()
    })
  }
}
