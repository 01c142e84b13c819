import {
  type AccessToken,
  authorizedFetch,
  authorizerFrom,
  cachedSource,
  createTokenManager,
  memoryStore,
  staticSource,
  type TokenSource,
  type TokenStore,
  TransportError,
} from 'evertoken'
import { describe, expect } from 'vitest'
import { clientOf, rejection, test } from '../support/fixtures.ts'
import { errorJson, hang, tokenJson } from '../support/hostile-server.ts'

const assertion = (value: string) => ({ type: 'urn:example:custom', value })

describe('dead tokens', () => {
  test('a token that is both refused and expired is never given back', async ({ manage, server, clock }) => {
    server.answer = tokenJson({ expires_in: 10 })
    const tokens = manage()
    let token = await tokens.getToken('api')
    for (let n = 0; n < 300; n++) {
      await clock.advance(100)
      token = await tokens.getToken('api', {}, { rejected: token })
      expect(token.expiresAt).toBeGreaterThan(clock.now())
    }
  })

  test('caches around caches never give a dead token', async ({ clock }) => {
    let n = 0
    const source: TokenSource = {
      async getToken() {
        n++
        return { accessToken: `t${n}`, tokenType: 'Bearer', expiresAt: clock.now() + 10_000 }
      },
    }
    const nested = cachedSource(cachedSource(source, { clock }), { clock })
    for (let call = 0; call < 1200; call++) {
      expect((await nested.getToken()).expiresAt).toBeGreaterThan(clock.now())
      await clock.advance(100)
    }
    expect(n).toBeLessThanOrEqual(24)
  })

  test('a source that gives no token is refused, and asked again', async ({ clock }) => {
    const answers = [undefined, { accessToken: 't', tokenType: 'Bearer', expiresAt: clock.now() + 60_000 }]
    const source = cachedSource({ getToken: async () => answers.shift() as AccessToken }, { clock })
    expect((await rejection(source.getToken())).code).toBe('source_invalid')
    await clock.advance(5000)
    expect((await source.getToken()).accessToken).toBe('t')
  })
})

describe('telemetry that breaks its promise', () => {
  test('a note that throws does not leave the client dead', async ({ manage, server, clock, recorder }) => {
    const unhandled: unknown[] = []
    const listener = (error: unknown) => unhandled.push(error)
    process.on('unhandledRejection', listener)
    const tokens = manage(
      {},
      {
        telemetry: {
          run: recorder.run,
          note() {
            throw new Error('full disk')
          },
        },
      },
    )
    await tokens.getToken('api')
    await clock.advance(3_600_000 - 120_000)
    server.answer = () => errorJson(400, 'invalid_scope')
    const seen = server.nextRequest()
    await tokens.getToken('api')
    await seen
    server.answer = tokenJson()
    await clock.advance(60_000)
    await expect
      .poll(async () => {
        await clock.advance(1000)
        return (await tokens.getToken('api')).accessToken
      })
      .not.toBe('token-1')
    process.off('unhandledRejection', listener)
    expect(unhandled).toEqual([])
  })
})

describe('forced renewals', () => {
  test('a forced renewal does not share the failure of another caller’s assertion', async ({ manage, server }) => {
    server.answer = (request) =>
      request.form.get('client_assertion') === 'bad' ? errorJson(401, 'invalid_client') : tokenJson()(request)
    const tokens = manage()
    const force = (value: string) =>
      tokens.getToken('api', { clientAssertion: assertion(value) }, { forceRenewal: true })
    const early = tokens.getToken('api')
    const bad = rejection(force('bad'))
    const good = force('good')
    await early
    expect((await bad).error).toBe('invalid_client')
    expect((await good).tokenType).toBe('Bearer')
  })
})

describe('many assertions', () => {
  test('callers with assertions of their own do not queue up behind an outage', async ({ manage, server, clock }) => {
    server.answer = () => hang
    const tokens = manage()
    const calls = Array.from({ length: 15 }, (_, i) =>
      rejection(tokens.getToken('api', { clientAssertion: assertion(`${i}`) })),
    )
    await server.nextRequest()
    await clock.advance(10_000)
    expect(new Set((await Promise.all(calls)).map(({ code }) => code))).toEqual(new Set(['timeout']))
    expect(server.requests).toHaveLength(1)
  })
})

describe('close', () => {
  test('no request leaves after close, not even for those who waited their turn', async ({ manage, server, clock }) => {
    server.answer = tokenJson({ expires_in: 0 })
    const tokens = manage()
    await tokens.getToken('api')
    const waiting = rejection(tokens.getToken('api'))
    await clock.untilPending()
    await tokens.close()
    await clock.advance(1000)
    expect((await waiting).code).toBe('closed')
    expect(server.requests).toHaveLength(1)
  })

  test('a request whose only caller has gone is ended by close', async ({ manage, server, clock }) => {
    server.answer = () => hang
    const tokens = manage()
    const abort = new AbortController()
    const call = rejection(tokens.getToken('api', {}, { signal: abort.signal }))
    await server.nextRequest()
    abort.abort(new Error('gone'))
    await call
    await tokens.close()
    expect(clock.pending).toBe(0)
  })
})

describe('deleting', () => {
  /** A store whose answers come when they are let go. */
  function slowStore(): { store: TokenStore; entries: Map<string, string>; release: () => void } {
    const entries = new Map<string, string>()
    let release = (): void => {}
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    const store: TokenStore = {
      get: (key) => entries.get(key),
      set: (key, value) => void entries.set(key, value),
      async delete(key) {
        await gate
        entries.delete(key)
      },
    }
    return { store, entries, release: () => release() }
  }

  test('a deleted token does not come back through the store', async ({ manage }) => {
    const { store, release } = slowStore()
    const tokens = manage({}, { store })
    await tokens.getToken('api')
    const deleting = tokens.delete('api')
    await tokens.getToken('api')
    release()
    await deleting
    expect((await tokens.getToken('api')).accessToken).toBe('token-2')
  })

  test('a request under way does not put its token into the store after a delete', async ({ manage, server }) => {
    const { store, entries, release } = slowStore()
    release()
    const tokens = manage({}, { store })
    const pending = tokens.getToken('api')
    await server.nextRequest()
    await tokens.delete('api')
    await pending
    expect([...entries.values()].join()).not.toContain('token-1')
    expect((await tokens.getToken('api')).accessToken).toBe('token-2')
  })

  test('a token that only the store holds is revoked too', async ({ server }) => {
    const store = memoryStore()
    server.answer = (request) =>
      request.method === 'GET'
        ? {
            body: JSON.stringify({
              issuer: server.origin,
              token_endpoint: server.tokenEndpoint,
              revocation_endpoint: `${server.origin}/revoke`,
            }),
          }
        : request.url === '/revoke'
          ? {}
          : tokenJson()(request)
    const manager = () =>
      createTokenManager({
        store,
        clients: { api: clientOf(server, { tokenEndpoint: undefined, issuer: server.origin }) },
      })
    const { accessToken } = await manager().getToken('api')
    await manager().revoke('api')
    expect(server.requests.at(-1)?.form.get('token')).toBe(accessToken)
  })

  test('a client name must come with a request', async ({ manage }) => {
    expect((await rejection(manage().delete(undefined, { scope: 'a' }))).code).toBe('option_invalid')
  })
})

describe('what the caller changes later', () => {
  test('is not sent under the name of what was asked for', async ({ manage, server }) => {
    const resource = ['urn:a']
    const request = { resource, context: { n: 1 } }
    const tokens = manage()
    const source = tokens.source('api', request)
    resource[0] = 'urn:b'
    await source.getToken()
    await tokens.source('api', request).getToken()
    expect(server.requests.map(({ form }) => form.get('resource'))).toEqual(['urn:a', 'urn:b'])
  })
})

describe('the circuit', () => {
  test('a client that cannot authenticate does not close the way for others', async ({ server, clock }) => {
    const tokens = createTokenManager({
      clock,
      clients: { broken: clientOf(server), healthy: clientOf(server) },
      clientAssertion({ clientName }) {
        if (clientName === 'broken')
          throw new TransportError('expected a key service, got none', { code: 'x', retryable: true })
        return undefined
      },
    })
    for (let n = 0; n < 10; n++) await rejection(tokens.getToken('broken', { partition: `${n}` }))
    expect((await tokens.getToken('healthy')).accessToken).toBe('token-1')
    await tokens.close()
  })
})

describe('fetch', () => {
  test('a body function may give a stream, and is asked again', async ({ manage, elsewhere }) => {
    elsewhere.answer = (request) => ({ status: request.headers.authorization === 'Bearer token-1' ? 401 : 200 })
    const call = manage().fetch('api', { baseUrl: elsewhere.origin })
    expect((await call('x', { method: 'POST', body: () => new Blob(['made']).stream() })).status).toBe(200)
    expect(elsewhere.requests.map(({ body }) => body)).toEqual(['made', 'made'])
  })

  test('a refusal whose body never ends does not hold up the retry', async ({ manage, elsewhere }) => {
    elsewhere.answer = (request) =>
      request.n === 1
        ? (response) => void response.writeHead(401, { 'content-length': '10' }).write('x')
        : { body: 'ok' }
    expect(await (await manage().fetch('api', { baseUrl: elsewhere.origin })('x')).text()).toBe('ok')
  })

  test('an abort ends the waiting for a Request’s body and for a customiser', async ({ manage, elsewhere }) => {
    const abort = new AbortController()
    const init = { method: 'POST', body: new ReadableStream(), duplex: 'half', signal: abort.signal }
    const stalled = rejection(
      manage().fetch('api', { baseUrl: elsewhere.origin })(new Request(elsewhere.origin, init as RequestInit)),
    )
    const hanging = manage({}, { customizeRequest: () => new Promise<never>(() => {}) })
    const customised = rejection(hanging.fetch('api', { baseUrl: elsewhere.origin })('x', { signal: abort.signal }))
    abort.abort(new Error('enough'))
    expect([(await stalled).message, (await customised).message]).toEqual(['enough', 'enough'])
  })

  test('a DPoP token without a proof is not sent', async ({ elsewhere }) => {
    const source = staticSource({ accessToken: 'x', tokenType: 'DPoP', expiresAt: Number.MAX_SAFE_INTEGER })
    const call = authorizedFetch(authorizerFrom(source, { origins: [elsewhere.origin] }))
    expect((await rejection(call(elsewhere.origin))).code).toBe('proof_missing')
    expect(elsewhere.requests).toHaveLength(0)
  })
})
