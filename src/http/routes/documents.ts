import { createHash } from 'node:crypto'
import type Router from '@koa/router'
import { makeAsyncApi } from '../api/asyncapi.ts'
import { DOCS_CSP, renderDocsPage } from '../api/docs-page.ts'
import { makeOpenApi } from '../api/openapi.ts'

const JSON_TYPE = 'application/json; charset=utf-8'

interface Document {
  readonly text: string
  readonly etag: string
}

/** Makes a document when it is first asked for: most gateways never are. */
const once = (make: () => string): (() => Document) => {
  let made: Document | null = null
  return () => {
    if (made === null) {
      const text = make()
      made = { text, etag: `"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"` }
    }
    return made
  }
}

/** The descriptions of the API. They hold no data and are open to all. */
export const registerDocsRoutes = (router: Router, { version }: { readonly version: string }): void => {
  const serve = (path: string, type: string, make: () => string, policy: string | null = null): void => {
    const document = once(make)
    router.get(path, (ctx) => {
      const { text, etag } = document()
      if (policy !== null) ctx.set('Content-Security-Policy', policy)
      ctx.set('Cache-Control', 'no-cache')
      ctx.set('ETag', etag)
      ctx.status = 200
      if (ctx.fresh) {
        ctx.status = 304
        return
      }
      ctx.type = type
      ctx.body = text
    })
  }
  serve('/openapi.json', JSON_TYPE, () => JSON.stringify(makeOpenApi(version)))
  serve('/asyncapi.json', JSON_TYPE, () => JSON.stringify(makeAsyncApi(version)))
  serve('/docs', 'text/html; charset=utf-8', () => renderDocsPage(version), DOCS_CSP)
}
