import { gzipSync } from 'node:zlib'
import { describe, expect } from 'vitest'
import { rejection, test } from '../support/fixtures.ts'
import { type Answer, errorJson, tokenJson } from '../support/hostile-server.ts'

const HTML = '<html><body>Sign in</body></html>'
const html = (status: number): Answer => ({ status, headers: { 'content-type': 'text/html' }, body: HTML })

describe('F2 what comes instead of a token', () => {
  for (const status of [500, 502, 503]) {
    test(`F2.01 ${status} with an HTML page: the server is unavailable, its page is not shown`, async ({
      manage,
      server,
      clock,
    }) => {
      server.answer = () => html(status)
      const pending = rejection(manage().getToken('api'))
      await expect
        .poll(async () => {
          await clock.advance(400)
          return server.requests.length
        })
        .toBe(3)
      const error = await pending
      expect(error).toMatchObject({ name: 'TokenEndpointError', code: 'server_unavailable', status, retryable: true })
      expect(error.message).not.toContain('<')
    })
  }

  test('F2.01 a sign-in page with status 200 is no token', async ({ manage, server }) => {
    server.answer = () => html(200)
    expect(await rejection(manage().getToken('api'))).toMatchObject({
      name: 'TokenResponseError',
      code: 'response_not_json',
    })
  })

  const ok = '{"access_token":"a","token_type":"bearer"'
  const broken: readonly { readonly name: string; readonly body: string | Uint8Array }[] = [
    { name: 'cut JSON', body: ok },
    { name: 'trailing garbage', body: `${ok}} x` },
    { name: 'a byte order mark', body: `\ufeff${ok}}` },
    { name: 'UTF-16', body: Buffer.from(`${ok}}`, 'utf16le') },
    { name: 'NUL bytes', body: `${ok}\0}` },
    {
      name: 'invalid UTF-8',
      body: Buffer.concat([Buffer.from(`${ok},"x":"`), Buffer.from([0xff]), Buffer.from('"}')]),
    },
    { name: '100,000 levels of nesting, unclosed', body: '['.repeat(100_000) },
    { name: 'null', body: 'null' },
    { name: 'a list', body: '[]' },
    { name: 'a string', body: '"x"' },
    { name: 'a number', body: '1' },
    { name: 'nothing', body: '' },
    { name: 'F2.08 access_token twice', body: '{"access_token":"a","token_type":"bearer","access_token":"b"}' },
    { name: 'F2.08 expires_in twice', body: `${ok},"expires_in":1,"expires_in":999999}` },
    { name: 'F2.08 a member twice, once escaped', body: `${ok},"access\\u005ftoken":"b"}` },
  ]
  for (const { name, body } of broken) {
    test(`F2.02 ${name}: a typed error, nothing used`, async ({ manage, server }) => {
      server.answer = () => ({ body })
      const error = await rejection(manage().getToken('api'))
      expect(error).toMatchObject({ name: 'TokenResponseError', code: 'response_not_json' })
    })
  }

  test('F2.02 deep nesting in a member that is not ours does no harm', async ({ manage, server }) => {
    server.answer = () => ({ body: `${ok},"x":${'['.repeat(10_000)}${']'.repeat(10_000)}}` })
    expect((await manage().getToken('api')).accessToken).toBe('a')
  })

  test('F2.03 a body of 300 MB is cut off at 1 MiB', async ({ manage, server }) => {
    let sent = 0
    let isCut = false
    server.answer = () => async (response) => {
      response.once('close', () => {
        isCut = true
      })
      response.writeHead(200, { 'content-type': 'application/json' })
      const chunk = Buffer.alloc(64 * 1024, ' ')
      for (; sent < 300 * 1024 * 1024 && !response.destroyed; sent += chunk.length) {
        if (response.write(chunk)) continue
        await new Promise((resolve) => response.once('drain', resolve).once('close', resolve))
      }
    }
    const before = process.memoryUsage().rss
    const error = await rejection(manage().getToken('api'))
    expect(error).toMatchObject({ name: 'TokenResponseError', code: 'response_too_large' })
    expect(sent).toBeLessThan(32 * 1024 * 1024)
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024)
    await expect.poll(() => isCut).toBe(true)
  })

  test('F2.03 A8.06 a gzip bomb is cut off at 1 MiB of what it expands to', async ({ manage, server }) => {
    const bomb = gzipSync(Buffer.alloc(200 * 1024 * 1024, ' '))
    server.answer = () => ({ headers: { 'content-encoding': 'gzip' }, body: bomb })
    expect((await rejection(manage().getToken('api'))).code).toBe('response_too_large')
  })

  const types = [
    { type: 'application/json; charset=utf-8', isTaken: true },
    { type: 'application/JSON', isTaken: true },
    { type: 'application/foo+json', isTaken: true },
    { type: 'text/plain', isTaken: false },
    { type: 'text/html', isTaken: false },
    { type: 'application/jsonx', isTaken: false },
  ]
  for (const { type, isTaken } of types) {
    test(`F2.04 content type ${type} is ${isTaken ? 'taken' : 'refused'}`, async ({ manage, server }) => {
      server.answer = (request) => ({ ...tokenJson()(request), headers: { 'content-type': type } }) as Answer
      const got = await manage()
        .getToken('api')
        .then(
          ({ accessToken }) => accessToken,
          ({ code }) => code,
        )
      expect(got).toBe(isTaken ? 'token-1' : 'response_not_json')
    })
  }

  test('F2.04 a body without content type is refused', async ({ manage, server }) => {
    server.answer = () => (response) => {
      response.removeHeader('content-type')
      response.writeHead(200).end(`${ok}}`)
    }
    expect((await rejection(manage().getToken('api'))).code).toBe('response_not_json')
  })

  test('F2.05 200 with an error: the error wins', async ({ manage, server }) => {
    server.answer = () => ({ body: '{"error":"invalid_grant","access_token":"a","token_type":"bearer"}' })
    expect(await rejection(manage().getToken('api'))).toMatchObject({
      name: 'TokenEndpointError',
      error: 'invalid_grant',
      status: 200,
    })
  })

  test('F2.05 400 with a token inside: no token', async ({ manage, server }) => {
    server.answer = () => ({ status: 400, body: '{"access_token":"a","token_type":"bearer"}' })
    expect(await rejection(manage().getToken('api'))).toMatchObject({ name: 'TokenEndpointError', error: 'http_400' })
  })

  const tokens: readonly unknown[] = [
    undefined,
    '',
    7,
    {},
    null,
    ['a'],
    'a'.repeat(65 * 1024),
    'a\r\nb',
    'a b',
    'ä',
    'a\u0000',
  ]
  for (const access_token of tokens) {
    const shown = JSON.stringify(access_token)?.slice(0, 12) ?? 'missing'
    test(`F2.06 A2.04 A7.01 an access_token that is ${shown} is refused`, async ({ manage, server }) => {
      server.answer = tokenJson({ access_token })
      const error = await rejection(manage().getToken('api'))
      expect(error).toMatchObject({ name: 'TokenResponseError', code: 'token_response_invalid' })
    })
  }

  for (const token_type of [undefined, '', 'mac', 'N_A', 'dPoP', 7]) {
    test(`N1.12 F2.07 token_type ${JSON.stringify(token_type)} is refused`, async ({ manage, server }) => {
      server.answer = tokenJson({ token_type })
      expect((await rejection(manage().getToken('api'))).name).toBe('TokenResponseError')
    })
  }

  for (const token_type of ['bearer', 'BEARER', 'bEARER']) {
    test(`T7 N1.12 token_type ${token_type} becomes Bearer`, async ({ manage, server }) => {
      server.answer = tokenJson({ token_type })
      expect((await manage().getToken('api')).tokenType).toBe('Bearer')
    })
  }

  test('F2.09 N1.11 members named __proto__, constructor, toString are inert', async ({ manage, server }) => {
    server.answer = () => ({
      body: `${ok},"__proto__":{"polluted":true,"error":"x"},"constructor":{"prototype":{"polluted":true}},"toString":1,"hasOwnProperty":1,"x":{"y":{}}}`,
    })
    expect((await manage().getToken('api')).accessToken).toBe('a')
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  })

  test('F2.11 a refresh_token that is null or empty counts as absent', async ({ manage, server }) => {
    for (const refresh_token of [null, '']) {
      server.answer = tokenJson({ refresh_token })
      expect((await manage().getToken('api')).tokenType).toBe('Bearer')
    }
  })

  test('F2.12 an ID token that is invalid spoils the answer', async ({ manage, server }) => {
    server.answer = tokenJson({ id_token: 'not.a.jwt' })
    expect((await rejection(manage({ issuer: 'https://as.example' }).getToken('api'))).code).toBe(
      'token_response_invalid',
    )
  })

  test('F2.13 an access token of 16 kB is fine', async ({ manage, server }) => {
    server.answer = tokenJson({ access_token: 'a'.repeat(16 * 1024) })
    expect((await manage().getToken('api')).accessToken).toHaveLength(16 * 1024)
  })
})

describe('F2.10 N1.09 granted scope', () => {
  const rows: readonly {
    name: string
    granted: unknown
    expected: string | { code: string; missingScope?: string }
  }[] = [
    { name: 'N1.10 not named: as it was asked for', granted: undefined, expected: 'a b' },
    { name: 'the same', granted: 'a b', expected: 'a b' },
    { name: 'in another order', granted: 'b a', expected: 'b a' },
    { name: 'widened', granted: 'a b c', expected: 'a b c' },
    { name: 'narrowed', granted: 'a', expected: { code: 'insufficient_granted_scope', missingScope: 'b' } },
    { name: 'empty', granted: '', expected: { code: 'insufficient_granted_scope', missingScope: 'a b' } },
    { name: 'a list', granted: ['a', 'b'], expected: { code: 'token_response_invalid' } },
  ]
  for (const { name, granted, expected } of rows) {
    test(`${name}`, async ({ manage, server }) => {
      server.answer = tokenJson({ scope: granted })
      const pending = manage({ scope: 'a b' }).getToken('api')
      if (typeof expected === 'string') expect((await pending).scope).toBe(expected)
      else expect(await rejection(pending)).toMatchObject(expected)
    })
  }

  test('narrowed and accepted: exposed, cached under what was asked for, noted', async ({
    manage,
    server,
    recorder,
  }) => {
    server.answer = tokenJson({ scope: 'a' })
    const tokens = manage({ scope: 'a b', acceptNarrowedScope: true })
    expect((await tokens.getToken('api')).scope).toBe('a')
    await tokens.getToken('api')
    expect(server.requests).toHaveLength(1)
    expect(recorder.events).toEqual([{ name: 'scope_changed', client: 'api' }])
  })
})

describe('N1 the token request', () => {
  test('N1.03 N1.05 is a POST of a form; nothing secret is in the URL', async ({ manage, server }) => {
    await manage().getToken('api')
    const [seen] = server.requests
    expect([seen?.method, seen?.url]).toEqual(['POST', '/token'])
    expect(seen?.headers['content-type']).toMatch(/^application\/x-www-form-urlencoded/)
  })

  test('N1.06 the query of a token endpoint is kept, and nothing is moved into it', async ({ manage, server }) => {
    await manage({ tokenEndpoint: `${server.tokenEndpoint}?tenant=7&x=%2F` }).getToken('api')
    expect(server.requests[0]?.url).toBe('/token?tenant=7&x=%2F')
    expect(server.requests[0]?.form.has('tenant')).toBe(false)
  })

  const refusals: readonly { readonly name: string; readonly answer: Answer; readonly expected: object }[] = [
    {
      name: 'invalid_grant',
      answer: errorJson(400, 'invalid_grant'),
      expected: { error: 'invalid_grant', status: 400 },
    },
    {
      name: 'a code nobody knows',
      answer: errorJson(400, 'made_up'),
      expected: { error: 'made_up', code: 'request_refused' },
    },
    {
      name: 'unauthorized_client',
      answer: errorJson(400, 'unauthorized_client'),
      expected: { code: 'client_refused' },
    },
    {
      name: 'N8.03 invalid_target',
      answer: errorJson(400, 'invalid_target'),
      expected: { code: 'request_refused', retryable: false },
    },
    {
      name: 'an error that is no text',
      answer: { status: 400, body: '{"error":{"a":1}}' },
      expected: { error: 'http_400' },
    },
    { name: 'error_uri', answer: errorJson(400, 'x', { error_uri: 'https://e' }), expected: { errorUri: 'https://e' } },
  ]
  for (const { name, answer, expected } of refusals) {
    test(`N1.14 ${name}`, async ({ manage, server }) => {
      server.answer = () => answer
      expect(await rejection(manage().getToken('api'))).toMatchObject({ name: 'TokenEndpointError', ...expected })
    })
  }

  test('N9.01 an access token is never looked into: JWT or opaque, the answer counts', async ({ manage, server }) => {
    const expired = `${btoa('{"alg":"none"}')}.${btoa('{"exp":1,"scope":"z"}')}.x`.replaceAll('=', '')
    server.answer = (request) => tokenJson({ access_token: request.n === 1 ? expired : `opaque-${request.n}` })(request)
    const tokens = manage({ scope: 'a' })
    expect(await tokens.getToken('api')).toMatchObject({ scope: 'a' })
    expect((await tokens.getToken('api')).accessToken).toBe(expired)
    expect((await tokens.getToken('api', {}, { forceRenewal: true })).accessToken).toBe('opaque-2')
  })
})
