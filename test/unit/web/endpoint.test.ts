import * as assert from 'uvu/assert'
import { StreamEndpoint } from '../../../src/web/client/endpoint.ts'
import type { ClientPlatform } from '../../../src/web/client/platform.ts'
import { suite } from '../../support/harness/suite.ts'

const endpoint = suite('the address of a stream')

/** Returns the URLs that are requested for two events, with a token. */
const urlsOf = async (base: string | URL): Promise<string[]> => {
  const urls: string[] = []
  const fetch = async (url: string): Promise<Response> => {
    urls.push(url)
    return Response.json({ data: { ticket: 't' } }, { status: 201 })
  }
  const options = { base, onMessage: () => undefined, token: () => 'secret' }
  urls.push(
    await new StreamEndpoint(['a', 'b/c'], options, { fetch } as Partial<ClientPlatform> as ClientPlatform).open(7),
  )
  return urls
}

endpoint('keeps the path of its base, also for tickets', async () => {
  for (const [base, root] of [
    ['https://gateway.example', 'https://gateway.example'],
    ['https://gateway.example/', 'https://gateway.example'],
    ['https://proxy.example/soc', 'https://proxy.example/soc'],
    ['https://proxy.example/soc/gateway/?x=1#y', 'https://proxy.example/soc/gateway'],
    [new URL('http://[::1]:8080/a%20b/'), 'http://[::1]:8080/a%20b'],
  ] as const) {
    assert.equal(await urlsOf(base), [
      `${root}/api/stream-tickets`,
      `${root}/api/stream?event_id=a&event_id=b%2Fc&last_message_db_id=7&ticket=t`,
    ])
  }
})

endpoint.run()
