import { type AccessToken, cachedSource, type TokenSource } from 'evertoken'
import { describe, expect } from 'vitest'
import { rejection, test } from '../support/fixtures.ts'
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
