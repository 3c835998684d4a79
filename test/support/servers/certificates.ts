import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { removeAtExit } from '../harness/cleanup.ts'

/** Paths of PEM files. */
export type Pair = { readonly certFile: string; readonly keyFile: string }

export type Issue = {
  /** Names in OpenSSL's format: `DNS:localhost`, `IP:127.0.0.1`. Default: those two. */
  names?: string[]
  /** Default: 30. */
  days?: number
}

/** A certificate authority for a test, and the certificates it signs. */
export type Authority = {
  readonly caFile: string
  /** The PEM text of caFile. */
  readonly ca: string
  issue(options?: Issue): Pair
}

const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

/** Creates an authority in a folder that is deleted when this process exits. */
export const makeAuthority = (name = 'test authority'): Authority => {
  const dir = mkdtempSync(join(tmpdir(), 'gateway-tls-'))
  removeAtExit(dir)
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { cwd: dir, stdio: 'pipe' })
  openssl('req', '-x509', ...EC, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '30', '-subj', `/CN=${name}`)
  let issued = 0
  return {
    caFile: join(dir, 'ca.pem'),
    ca: readFileSync(join(dir, 'ca.pem'), 'utf8'),
    issue({ names = ['DNS:localhost', 'IP:127.0.0.1'], days = 30 } = {}) {
      const own = `${++issued}`
      writeFileSync(join(dir, `${own}.ext`), `subjectAltName=${names.join(',')}\n`)
      openssl('req', ...EC, '-keyout', `${own}.key`, '-out', `${own}.csr`, '-subj', `/CN=${own}`)
      const signed = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', `${own}.ext`]
      openssl('x509', '-req', '-in', `${own}.csr`, ...signed, '-days', String(days), '-out', `${own}.pem`)
      return { certFile: join(dir, `${own}.pem`), keyFile: join(dir, `${own}.key`) }
    },
  }
}
