import { once } from 'node:events'
import { connect } from 'node:tls'
import { describe, expect, test } from 'vitest'
import { echo } from './handlers.ts'
import { fetchWith, startStalledServer, startTlsServer } from './tls.ts'

describe('a TLS server', () => {
  test('that is good is reached by whoever trusts its authority', async () => {
    await using server = await startTlsServer(undefined, echo)
    for (const origin of [server.origin, server.origin.replace('127.0.0.1', 'localhost')]) {
      const response = await fetchWith({ ca: server.ca })(`${origin}/x`, { method: 'POST', body: 'text' })
      expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/json'])
      expect(await response.json()).toMatchObject({ method: 'POST', url: '/x', body: 'text' })
    }
    expect(server.requests.map(({ connection }) => connection)).toEqual([1, 2])
  })

  for (const { fault, code } of [
    { fault: 'self-signed', code: 'DEPTH_ZERO_SELF_SIGNED_CERT' },
    { fault: 'expired', code: 'CERT_HAS_EXPIRED' },
    { fault: 'not-yet-valid', code: 'CERT_NOT_YET_VALID' },
    { fault: 'wrong-host', code: 'ERR_TLS_CERT_ALTNAME_INVALID' },
    { fault: 'unknown-authority', code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' },
    { fault: 'tls-1.1', code: expect.stringMatching(/^(EPROTO$|ERR_SSL_)/) },
  ] as const) {
    test(`${fault}: is refused for this and nothing else`, async () => {
      await using server = await startTlsServer(fault)
      await expect(fetchWith({ ca: server.ca })(server.origin)).rejects.toMatchObject({ code })
      expect(server.requests).toHaveLength(0)
    })
  }

  test('of TLS 1.1 speaks that, to those who stoop to it', async () => {
    await using server = await startTlsServer('tls-1.1')
    const { port } = new URL(server.origin)
    const options = { ca: server.ca, minVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' } as const
    const socket = connect({ ...options, host: '127.0.0.1', port: Number(port) })
    await once(socket, 'secureConnect')
    expect(socket.getProtocol()).toBe('TLSv1.1')
    socket.destroy()
  })

  test('that stalls never ends its handshake, and notices who has gone', async () => {
    await using server = await startStalledServer()
    const abort = new AbortController()
    const connected = server.nextConnection()
    const waiting = fetchWith({})(server.origin, { signal: abort.signal })
    await connected
    expect(server.openSockets).toBe(1)
    abort.abort()
    await expect(waiting).rejects.toThrow('abort')
    await expect.poll(() => server.openSockets).toBe(0)
  })
})
