import { authorizedFetch, authorizerFrom, createAccessToken, staticSource } from 'evertoken'
import { dpopKeyRing } from 'evertoken/dpop'
import { nodeSigner } from 'evertoken/node'
import { describe, expect } from 'vitest'
import { rejection, test } from '../support/fixtures.ts'
import { type Answer, type SeenRequest, tokenJson } from '../support/hostile-server.ts'
import { createTestKey, testKey } from '../support/keys.ts'
import { athOf, demandingNonce, nonceDemand, proofOf } from '../support/proofs.ts'

const bound = tokenJson({ token_type: 'DPoP' })
const ok = (): Answer => ({ body: '{}' })
const nonceIn = (request: SeenRequest): unknown => proofOf(request).claims.nonce

describe('D1 D4 D6 the proof on the request', () => {
  test('D1 D4 N12.01 N12.06 the token goes as DPoP, with a proof of its hash and a public key', async ({
    manage,
    server,
    elsewhere,
  }) => {
    server.answer = bound
    const tokens = manage({ dpop: true })
    await tokens.fetch('api', { baseUrl: elsewhere.origin })('list?x=1#y', { method: 'post', body: 'x' })
    const [request] = elsewhere.requests
    const { jkt } = await tokens.getToken('api')
    expect(request?.headers.authorization).toBe('DPoP token-1')
    const { header, claims } = proofOf(request as SeenRequest)
    expect(header).toEqual({
      typ: 'dpop+jwt',
      alg: 'ES256',
      jwk: { kty: 'EC', crv: 'P-256', x: expect.any(String), y: expect.any(String) },
    })
    expect(claims).toEqual({
      jti: expect.stringMatching(/^[\w-]{24}$/),
      htm: 'POST',
      htu: `${elsewhere.origin}/list`,
      iat: expect.any(Number),
      ath: athOf('token-1'),
    })
    expect(jkt).toMatch(/^[\w-]{43}$/)
    expect(proofOf(server.requests[0] as SeenRequest).header).toEqual(header)
  })

  const urls: readonly { readonly name: string; readonly path: string }[] = [
    { name: 'a query', path: '/a?b=c' },
    { name: 'a fragment', path: '/a#b' },
    { name: 'dot segments', path: '/a/./b/../c' },
    { name: 'an encoded tilde', path: '/%7Eme' },
    { name: 'an encoded slash', path: '/a%2Fb' },
    { name: 'a space and an umlaut', path: '/a b/ü' },
    { name: 'an empty path', path: '' },
    { name: 'a question mark alone', path: '/a?' },
    { name: 'a backslash', path: '\\a\\b' },
    { name: 'double slashes', path: '//' },
  ]
  for (const { name, path } of urls) {
    test(`N12.02 htu is what is sent: ${name}`, async ({ manage, server, elsewhere }) => {
      server.answer = bound
      const upper = elsewhere.origin.replace('http', 'HTTP')
      await manage({ dpop: true }).fetch('api', { origins: [elsewhere.origin] })(upper + path)
      const [request] = elsewhere.requests
      const sent = request?.url.replace(/\?.*$/, '')
      expect(proofOf(request as SeenRequest).claims.htu).toBe(elsewhere.origin + sent)
    })
  }

  test('D4 proofClaims go along, and cannot replace what a proof says itself', async ({
    manage,
    server,
    elsewhere,
  }) => {
    server.answer = bound
    const call = manage({ dpop: true }).fetch('api', { baseUrl: elsewhere.origin })
    await call('x', { proofClaims: { tenant: 'a', list: [1] } })
    expect(proofOf(elsewhere.requests[0] as SeenRequest).claims).toMatchObject({ tenant: 'a', list: [1] })
    for (const name of ['jti', 'htm', 'htu', 'iat', 'ath', 'nonce']) {
      expect(await rejection(call('x', { proofClaims: { [name]: 'x' } }))).toMatchObject({
        name: 'ConfigurationError',
        code: 'proof_claims_invalid',
      })
    }
    expect(elsewhere.requests).toHaveLength(1)
  })

  test('D6 a request that brings a proof of its own is refused', async ({ manage, server, elsewhere }) => {
    server.answer = bound
    const call = manage({ dpop: true }).fetch('api', { baseUrl: elsewhere.origin })
    const error = await rejection(call('x', { headers: { dpop: 'mine' } }))
    expect(error).toMatchObject({ code: 'authorization_present' })
    expect(elsewhere.requests).toHaveLength(0)
  })

  test('D6 N12.06 a token without its key is not sent, and neither is a Bearer token in its place', async ({
    elsewhere,
  }) => {
    const { jwk } = await testKey('ES256')
    const ring = dpopKeyRing(jwk)
    const destination = { origins: [elsewhere.origin] }
    const token = (members: object): ReturnType<typeof createAccessToken> =>
      createAccessToken({ accessToken: 'secret', tokenType: 'DPoP', expiresAt: 1e15, ...members })
    const call = (members: object, dpop?: typeof ring): Promise<unknown> =>
      rejection(authorizedFetch(authorizerFrom(staticSource(token(members)), destination, { dpop }))(elsewhere.origin))
    expect(await call({ jkt: 'x' })).toMatchObject({ code: 'proof_missing' })
    expect(await call({ tokenType: 'Bearer', jkt: 'x' })).toMatchObject({ code: 'proof_missing' })
    expect(await call({ jkt: 'x' }, ring)).toMatchObject({ code: 'token_rejected' })
    expect(await call({}, ring)).toMatchObject({ code: 'token_rejected' })
    expect(await call({ tokenType: 'Bearer' }, ring)).toMatchObject({ code: 'token_rejected' })
    expect(elsewhere.requests).toHaveLength(0)
  })

  test("D1 T1 tokens of a source of one's own go with the key that they are bound to", async ({ elsewhere }) => {
    const ring = dpopKeyRing((await testKey('ES256')).jwk)
    const token = createAccessToken({
      accessToken: 'mine',
      tokenType: 'DPoP',
      expiresAt: 1e15,
      jkt: await dpopKeyRing((await testKey('ES256')).pem).thumbprint(),
    })
    elsewhere.answer = demandingNonce(() => 'n', ok)
    const authorizer = authorizerFrom(staticSource(token), { baseUrl: elsewhere.origin }, { dpop: ring })
    expect((await authorizedFetch(authorizer)(`${elsewhere.origin}/x`)).status).toBe(200)
    expect(elsewhere.requests.map(({ headers }) => headers.authorization)).toEqual(['DPoP mine', 'DPoP mine'])
  })

  test('D6 N8 a signer that fails: no request', async ({ manage, server, elsewhere }) => {
    server.answer = bound
    const signer = nodeSigner((await testKey('ES256')).pem)
    let isBroken = false
    const dpop = {
      ...signer,
      publicJwk: signer.publicJwk,
      sign: async (input: Uint8Array) => {
        if (isBroken) throw new Error('the KMS is on fire')
        return signer.sign(input)
      },
    }
    const call = manage({ dpop }).fetch('api', { baseUrl: elsewhere.origin })
    await call('x')
    isBroken = true
    expect(await rejection(call('x'))).toMatchObject({ name: 'TransportError', code: 'signer_failed', retryable: true })
    expect(elsewhere.requests).toHaveLength(1)
  })
})

describe('D2 D3 D9 nonces of an API', () => {
  test('D2 N12.10 a demand is answered once: same token, same body, another proof', async ({
    manage,
    server,
    elsewhere,
    recorder,
  }) => {
    server.answer = bound
    elsewhere.answer = demandingNonce(() => 'n-1', ok)
    const call = manage({ dpop: true }).fetch('api', { baseUrl: elsewhere.origin })
    expect((await call('x', { method: 'POST', body: 'the body' })).status).toBe(200)
    const [first, second] = elsewhere.requests as [SeenRequest, SeenRequest]
    expect(elsewhere.requests.map(({ body, headers }) => [body, headers.authorization])).toEqual([
      ['the body', 'DPoP token-1'],
      ['the body', 'DPoP token-1'],
    ])
    expect([nonceIn(first), nonceIn(second)]).toEqual([undefined, 'n-1'])
    expect(proofOf(first).claims.jti).not.toBe(proofOf(second).claims.jti)
    expect(server.requests).toHaveLength(1)
    expect(recorder.operations).toContain('resource.retry')
  })

  test('D3 F9.01 twenty paths of one API cost one extra round trip', async ({ manage, server, elsewhere }) => {
    server.answer = bound
    elsewhere.answer = demandingNonce(() => 'n-1', ok)
    const call = manage({ dpop: true }).fetch('api', { baseUrl: elsewhere.origin })
    for (let n = 0; n < 20; n++) expect((await call(`path/${n}`, { method: n % 2 ? 'PUT' : 'GET' })).status).toBe(200)
    expect(elsewhere.requests).toHaveLength(21)
  })

  const policies: readonly {
    readonly name: string
    readonly rotates: (n: number) => boolean
    readonly extra: number
  }[] = [
    { name: 'on every answer', rotates: () => true, extra: 1 },
    { name: 'on every second answer', rotates: (n) => n % 2 === 0, extra: 1 },
    { name: 'never', rotates: () => false, extra: 1 },
  ]
  for (const { name, rotates, extra } of policies) {
    test(`F9.01 a nonce that came with the last answer is never asked for: it changes ${name}`, async ({
      manage,
      server,
      elsewhere,
    }) => {
      server.answer = bound
      let count = 1
      const nonce = (): string => `n-${count}`
      elsewhere.answer = demandingNonce(nonce, ({ n }) => {
        if (rotates(n)) count++
        return { headers: { 'dpop-nonce': nonce() } }
      })
      const call = manage({ dpop: true }).fetch('api', { baseUrl: elsewhere.origin })
      for (let n = 0; n < 20; n++) expect((await call(`path/${n}`)).status).toBe(200)
      expect(elsewhere.requests).toHaveLength(20 + extra)
    })
  }

  test('F9.01 a nonce that changes unsaid costs one demand each time', async ({ manage, server, elsewhere }) => {
    server.answer = bound
    let count = 1
    elsewhere.answer = demandingNonce(() => `n-${count}`, ok)
    const call = manage({ dpop: true }).fetch('api', { baseUrl: elsewhere.origin })
    for (let n = 1; n <= 20; n++) {
      if (n % 5 === 0) count++
      expect((await call('x')).status).toBe(200)
    }
    expect(elsewhere.requests).toHaveLength(20 + 1 + 4)
  })

  test('F9.01 fifty calls at once and a nonce that changes on the way: each is challenged once at the most', async ({
    manage,
    server,
    elsewhere,
  }) => {
    server.answer = bound
    let count = 1
    const nonce = (): string => `n-${count}`
    elsewhere.answer = demandingNonce(nonce, ({ n }) => {
      if (n === 25) count++
      return { headers: { 'dpop-nonce': nonce() } }
    })
    const call = manage({ dpop: true }).fetch('api', { baseUrl: elsewhere.origin })
    await call('first')
    const responses = await Promise.all(Array.from({ length: 50 }, (_, n) => call(`path/${n}`)))
    expect(responses.every(({ status }) => status === 200)).toBe(true)
    expect(elsewhere.requests.length).toBeLessThanOrEqual(2 + 2 * 50)
    const before = elsewhere.requests.length
    await Promise.all(Array.from({ length: 50 }, (_, n) => call(`again/${n}`)))
    expect(elsewhere.requests.length - before).toBe(50)
  })

  test('N12.08 a nonce is learned from whatever answer brings it', async ({ manage, server, elsewhere }) => {
    server.answer = bound
    const answers: readonly Answer[] = [
      { headers: { 'dpop-nonce': 'from-200' } },
      { status: 404, headers: { 'dpop-nonce': 'from-404' } },
      { status: 302, headers: { 'dpop-nonce': 'from-302', location: '/target' } },
      {},
      { status: 403, headers: { 'dpop-nonce': 'from-403', 'www-authenticate': 'DPoP error="insufficient_scope"' } },
      nonceDemand('from-401'),
      { status: 500, headers: { 'dpop-nonce': 'from-retry' } },
      { status: 200 },
    ]
    elsewhere.answer = ({ n }) => answers[n - 1] ?? {}
    const call = manage({ dpop: true }).fetch('api', { baseUrl: elsewhere.origin })
    await call('a')
    await call('b')
    await call('c')
    expect(await rejection(call('d'))).toMatchObject({ code: 'insufficient_scope' })
    await call('e')
    await call('f')
    const learned = ['from-200', 'from-404', 'from-302', 'from-302', 'from-403', 'from-401', 'from-retry']
    expect(elsewhere.requests.map(nonceIn)).toEqual([undefined, ...learned])
  })

  const challenges: readonly { readonly name: string; readonly challenge: string | readonly string[] }[] = [
    { name: 'small letters', challenge: 'dpop error="use_dpop_nonce"' },
    { name: 'capitals', challenge: 'DPOP ERROR="use_dpop_nonce"' },
    { name: 'a bare value', challenge: 'DPoP error=use_dpop_nonce' },
    { name: 'behind a Bearer challenge', challenge: 'Bearer realm="a, b", DPoP error="use_dpop_nonce"' },
    {
      name: 'behind a Bearer challenge that refuses',
      challenge: 'Bearer error="invalid_token", DPoP error="use_dpop_nonce"',
    },
    { name: 'in a second header line', challenge: ['Bearer', 'DPoP algs="ES256 EdDSA", error="use_dpop_nonce"'] },
    { name: 'before another scheme', challenge: 'DPoP realm="x",error="use_dpop_nonce", Basic realm="y"' },
  ]
  for (const { name, challenge } of challenges) {
    test(`D9 N12.10 a demand is recognised: ${name}`, async ({ manage, server, elsewhere }) => {
      server.answer = bound
      elsewhere.answer = (request) => (nonceIn(request) === 'n' ? {} : nonceDemand('n', challenge))
      const response = await manage({ dpop: true }).fetch('api', { baseUrl: elsewhere.origin })('x')
      expect([response.status, elsewhere.requests.length, server.requests.length]).toEqual([200, 2, 1])
    })
  }

  const vain: readonly {
    readonly name: string
    readonly nonce: (n: number) => string | undefined
    readonly tries: number
  }[] = [
    { name: 'new nonces for ever', nonce: (n) => `n-${n}`, tries: 2 },
    { name: 'the same nonce for ever', nonce: () => 'n', tries: 2 },
    { name: 'no nonce', nonce: () => undefined, tries: 1 },
    { name: 'a nonce that no header can carry', nonce: () => 'a b', tries: 1 },
  ]
  for (const { name, nonce, tries } of vain) {
    test(`D2 N12.07 a demand that cannot be met ends in a typed error: ${name}`, async ({
      manage,
      server,
      elsewhere,
    }) => {
      server.answer = bound
      elsewhere.answer = ({ n }) => nonceDemand(nonce(n))
      const error = await rejection(manage({ dpop: true }).fetch('api', { baseUrl: elsewhere.origin })('x'))
      expect(error).toMatchObject({ name: 'ChallengeError', code: 'use_dpop_nonce', status: 401 })
      expect([elsewhere.requests.length, server.requests.length]).toEqual([tries, 1])
    })
  }

  test('T3 a stream is sent once: the demand surfaces, and the next call has the nonce', async ({
    manage,
    server,
    elsewhere,
  }) => {
    server.answer = bound
    elsewhere.answer = demandingNonce(() => 'n-1', ok)
    const call = manage({ dpop: true }).fetch('api', { baseUrl: elsewhere.origin })
    const body = new Blob(['streamed']).stream()
    expect((await call('x', { method: 'POST', body })).status).toBe(401)
    expect((await call('y')).status).toBe(200)
    expect(elsewhere.requests).toHaveLength(2)
  })

  test('N12.09 nonces of two origins and of two keys are kept apart', async ({ manage, server, elsewhere }) => {
    server.answer = (request) =>
      request.url === '/token' ? bound(request) : { headers: { 'dpop-nonce': 'of-server' } }
    elsewhere.answer = () => ({ headers: { 'dpop-nonce': 'of-elsewhere' } })
    const origins = [server.origin, elsewhere.origin]
    const tokens = manage({ dpop: true })
    const call = tokens.fetch('api', { origins })
    const another = manage({ dpop: true }).fetch('api', { origins })
    for (const origin of [...origins, ...origins]) await call(`${origin}/x`)
    await another(`${elsewhere.origin}/x`)
    expect(elsewhere.requests.map(nonceIn)).toEqual([undefined, 'of-elsewhere', undefined])
    expect(server.requests.filter(({ url }) => url === '/x').map(nonceIn)).toEqual([undefined, 'of-server'])
    expect(server.requests.filter(({ url }) => url === '/token').map(nonceIn)).toEqual([undefined, undefined])
  })
})

describe('T2 T5 tokens and redirects', () => {
  test('T2 D9 a token that is refused is renewed once, with the same key', async ({ manage, server, elsewhere }) => {
    server.answer = bound
    elsewhere.answer = ({ headers }) =>
      headers.authorization === 'DPoP token-1'
        ? { status: 401, headers: { 'www-authenticate': 'Bearer, DPoP error="invalid_token"' } }
        : {}
    expect((await manage({ dpop: true }).fetch('api', { baseUrl: elsewhere.origin })('x')).status).toBe(200)
    const [first, second] = elsewhere.requests as [SeenRequest, SeenRequest]
    expect(proofOf(second).claims.ath).toBe(athOf('token-2'))
    expect(proofOf(second).header).toEqual(proofOf(first).header)
  })

  test('T2 a nonce, then a refused token: each is answered once, whatever comes after', async ({
    manage,
    server,
    elsewhere,
  }) => {
    server.answer = bound
    const refused: Answer = { status: 401, headers: { 'www-authenticate': 'DPoP error="invalid_token"' } }
    elsewhere.answer = ({ n }) => (n === 1 ? nonceDemand('n-1') : refused)
    const response = await manage({ dpop: true }).fetch('api', { baseUrl: elsewhere.origin })('x')
    expect([response.status, elsewhere.requests.length, server.requests.length]).toEqual([401, 3, 2])
  })

  for (const status of [301, 302, 303, 307, 308]) {
    test(`T5 A3.02 a ${status} on the same origin gets another proof, for where it leads`, async ({
      manage,
      server,
      elsewhere,
    }) => {
      server.answer = bound
      elsewhere.answer = ({ url }) => (url === '/a' ? { status, headers: { location: '/b?c' } } : {})
      const call = manage({ dpop: true }).fetch('api', { baseUrl: elsewhere.origin })
      expect((await call('a', { method: 'POST', body: 'x' })).status).toBe(200)
      const [first, second] = elsewhere.requests as [SeenRequest, SeenRequest]
      expect(proofOf(second).claims).toMatchObject({ htu: `${elsewhere.origin}/b`, htm: status < 304 ? 'GET' : 'POST' })
      expect(second.method).toBe(proofOf(second).claims.htm)
      expect(proofOf(second).claims.jti).not.toBe(proofOf(first).claims.jti)
    })
  }

  test('T5 another origin gets neither token nor proof', async ({ manage, server, elsewhere }) => {
    server.answer = (request) => (request.url === '/token' ? bound(request) : {})
    elsewhere.answer = () => ({ status: 302, headers: { location: `${server.origin}/landed` } })
    await manage({ dpop: true }).fetch('api', { baseUrl: elsewhere.origin })('a')
    const landed = server.requests.find(({ url }) => url === '/landed')
    expect(landed?.headers).not.toHaveProperty('dpop')
    expect(landed?.headers).not.toHaveProperty('authorization')
  })

  test('T2 a call that has renewed its token does not do so again behind a redirect', async ({
    manage,
    server,
    elsewhere,
  }) => {
    server.answer = bound
    const refused: Answer = { status: 401, headers: { 'www-authenticate': 'DPoP error="invalid_token"' } }
    elsewhere.answer = ({ n }) => (n === 2 ? { status: 302, headers: { location: '/b' } } : refused)
    const response = await manage({ dpop: true }).fetch('api', { baseUrl: elsewhere.origin })('a')
    expect([response.status, elsewhere.requests.length, server.requests.length]).toEqual([401, 3, 2])
  })
})

describe('N12.13 N12.14 proofs that an API does not like', () => {
  const refused = (date: number, members: object = {}): Answer => ({
    status: 401,
    headers: { 'www-authenticate': 'DPoP error="invalid_dpop_proof"', date: new Date(date).toUTCString(), ...members },
  })

  for (const aheadMs of [300_000, -300_000]) {
    test(`N12.13 a clock that is ${-aheadMs / 1000} s ahead is made up for by the API's Date`, async ({
      manage,
      server,
      elsewhere,
      clock,
    }) => {
      server.answer = bound
      const now = clock.wallTime() + aheadMs
      elsewhere.answer = (request) => {
        const age = now / 1000 - Number(proofOf(request).claims.iat)
        return Math.abs(age) < 60 ? { headers: { date: new Date(now).toUTCString() } } : refused(now)
      }
      const call = manage({ dpop: true }).fetch('api', { baseUrl: elsewhere.origin })
      expect([(await call('x')).status, (await call('y')).status]).toEqual([200, 200])
      expect([elsewhere.requests.length, server.requests.length]).toEqual([3, 1])
    })
  }

  test('N12.13 a refusal that no other time explains stands, after one more try at the most', async ({
    manage,
    server,
    elsewhere,
    clock,
  }) => {
    server.answer = bound
    const call = manage({ dpop: true }).fetch('api', { baseUrl: elsewhere.origin })
    elsewhere.answer = () => refused(clock.wallTime())
    expect((await call('x')).status).toBe(401)
    expect(elsewhere.requests).toHaveLength(1)
    elsewhere.answer = () => refused(clock.wallTime() + 900_000)
    expect((await call('x')).status).toBe(401)
    expect(elsewhere.requests).toHaveLength(3)
    elsewhere.answer = ({ n }) => refused(clock.wallTime(), { 'dpop-nonce': `n-${n}` })
    expect((await call('x')).status).toBe(401)
    expect([elsewhere.requests.length, server.requests.length]).toEqual([5, 1])
  })

  test("N12.14 an API that does not list the key's algorithm: a typed error, and no other try", async ({
    manage,
    server,
    elsewhere,
  }) => {
    server.answer = bound
    elsewhere.answer = () => ({
      status: 401,
      headers: { 'www-authenticate': 'DPoP algs="PS256 EdDSA", error="invalid_dpop_proof"' },
    })
    const error = await rejection(manage({ dpop: true }).fetch('api', { baseUrl: elsewhere.origin })('x'))
    expect(error).toMatchObject({ name: 'ChallengeError', code: 'dpop_alg_unsupported', status: 401 })
    expect(error.message).toContain('ES256')
    expect([elsewhere.requests.length, server.requests.length]).toEqual([1, 1])
  })
})

describe('D8 keys that follow each other', () => {
  test('D8 tokens of the old key are used with it until they are renewed, new ones with the new key', async ({
    manage,
    server,
    elsewhere,
    clock,
  }) => {
    server.answer = bound
    const [before, after] = [await createTestKey('ES256', 'a'), await createTestKey('EdDSA', 'b')]
    const ring = dpopKeyRing(before.pem, { clock })
    const tokens = manage({ dpop: ring })
    const call = tokens.fetch('api', { baseUrl: elsewhere.origin })
    await call('x')
    const oldThumbprint = await ring.thumbprint()
    ring.rotate(after.pem)
    await call('y')
    expect((await tokens.getToken('api')).jkt).toBe(oldThumbprint)
    await clock.advance(3_600_000)
    await call('z')
    expect(elsewhere.requests.map((request) => proofOf(request).header.alg)).toEqual(['ES256', 'ES256', 'EdDSA'])
    expect((await tokens.getToken('api')).jkt).toBe(await ring.thumbprint())
    expect(await ring.thumbprint()).not.toBe(oldThumbprint)
  })
})
