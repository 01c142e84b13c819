import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import {
  attestJwtClientAuth,
  authorizedFetch,
  authorizerFrom,
  type ClientAuthentication,
  cachedSource,
  chainSource,
  clientAssertion,
  clientSecretBasic,
  clientSecretJwt,
  clientSecretPost,
  createAccessToken,
  createTokenManager,
  encryptedRecords,
  localLock,
  memoryRecords,
  memoryStore,
  none,
  observedSource,
  privateKeyJwt,
  staticSource,
  type TokenStore,
} from 'evertoken'
import { keyRing, signerFrom } from 'evertoken/keys'
import { nodeSigner } from 'evertoken/node'
import {
  backChannelLogout,
  cookieSessions,
  createUserTokenManager,
  type LoginResponse,
  storedSessions,
} from 'evertoken/session'
import { describe, expect } from 'vitest'
import { createAttester } from '../support/attestation.ts'
import { canary, expectNoCanary, plainCanary, textsOf } from '../support/canaries.ts'
import { createCookieJar } from '../support/cookie-jar.ts'
import { clientOf, createRecorder, type Recorder, rejection, test } from '../support/fixtures.ts'
import { withMetadata } from '../support/handlers.ts'
import {
  type Answer,
  errorJson,
  type Handler,
  type HostileServer,
  reset,
  type SeenRequest,
  tokenJson,
} from '../support/hostile-server.ts'
import { testKey } from '../support/keys.ts'
import { createLogoutServer, logoutClaims, logoutRequest, signed } from '../support/logout-server.ts'
import type { TestClock } from '../support/test-clock.ts'
import { whileTimePasses } from '../support/user-fleet.ts'

const SECRET = canary('client secret')
const HMAC = canary('hmac secret')
const PARAMETER = canary('parameter')
const TOKEN = plainCanary('access token')
const ASSERTION = `${plainCanary('head')}.${plainCanary('claims')}.${plainCanary('signature')}`
const PASSWORD = plainCanary('password')
const JWT_BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

const { jwk, pem, keyObject, cryptoKeyPair } = await testKey('RS256')
const PRIVATE = ['d', 'p', 'q', 'dp', 'dq', 'qi'].map((member) => String(jwk[member]))
const PEM = pem.split('\n').slice(2, -3)
const attester = await createAttester()
const ATTESTATION = await attester.attest({ clientId: 'machine', issuer: '', publicJwk: {} })
const ALL = [
  ATTESTATION.split('.')[2] ?? '',
  SECRET,
  HMAC,
  PARAMETER,
  TOKEN,
  ...ASSERTION.split('.'),
  PASSWORD,
  ...PRIVATE,
  ...PEM,
]

const audience = 'https://as.example'
const attested = attestJwtClientAuth(() => ATTESTATION)
/** What proves a request beside its body and `Authorization`. */
const proofsOf = ({ headers }: SeenRequest): readonly string[] =>
  ['oauth-client-attestation', 'oauth-client-attestation-pop'].map((name) => String(headers[name] ?? ''))
const AUTHENTICATIONS: Readonly<Record<string, () => ClientAuthentication>> = {
  clientSecretBasic: () => clientSecretBasic(SECRET),
  'clientSecretBasic, raw': () => clientSecretBasic(SECRET, { raw: true }),
  clientSecretPost: () => clientSecretPost(SECRET),
  clientSecretJwt: () => clientSecretJwt(HMAC, { audience }),
  privateKeyJwt: () => privateKeyJwt(pem, { audience }),
  'privateKeyJwt of a JWK': () => privateKeyJwt(jwk, { audience }),
  'privateKeyJwt of a ring': () => privateKeyJwt(keyRing([{ key: jwk }]), { audience }),
  'privateKeyJwt on Node': () => privateKeyJwt(nodeSigner(pem), { audience }),
  attestJwtClientAuth: () => ({
    method: 'attest_jwt_client_auth',
    apply: (draft, client, options) => attested.apply(draft, { ...client, issuer: audience }, options),
  }),
  clientAssertion: () => clientAssertion({ type: JWT_BEARER, value: ASSERTION }),
}

/** All that a server knows of a request, in every form in which a clumsy one may say it back. */
function echoOf(seen: SeenRequest): readonly string[] {
  const { body, form, headers } = seen
  const credentials = headers.authorization?.slice('Basic '.length) ?? ''
  const decoded = Buffer.from(credentials, 'base64').toString()
  const password = decoded.slice(decoded.indexOf(':') + 1)
  const values = [...form.values(), ...proofsOf(seen), credentials, decoded, password].filter(Boolean)
  return [
    body,
    decodeURIComponent(body.replaceAll('+', ' ')),
    JSON.stringify(headers),
    ...values,
    ...values.map((value) => encodeURIComponent(value)),
    ...values.map((value) => Buffer.from(value).toString('base64')),
    ...values.map((value) => Buffer.from(value).toString('base64url')),
    ...values.map((value) => value.slice(0, 20)),
  ]
}

/** More ways to say it back. */
function quotedEchoOf(seen: SeenRequest): readonly string[] {
  const { form, headers } = seen
  const credentials = headers.authorization?.slice('Basic '.length) ?? ''
  const decoded = Buffer.from(credentials, 'base64').toString()
  const values = [...form.values(), ...proofsOf(seen), decoded.slice(decoded.indexOf(':') + 1)].filter(Boolean)
  return [
    JSON.stringify(Object.fromEntries(form)),
    ...values.map((value) => JSON.stringify(value)),
    ...values.map((value) => encodeURIComponent(value).replace(/%[0-9A-F]{2}/g, (hex) => hex.toLowerCase())),
  ]
}

const html = (body: string, status = 400): Answer => ({ status, headers: { 'content-type': 'text/html' }, body })
const json = (body: string, status = 200): Answer => ({ status, body })

/** What a server may do with what it knows; each answer fails the call. */
const ANSWERS: Readonly<Record<string, Handler>> = {
  'an HTML page with everything': (seen) => html(`<pre>${echoOf(seen).join('\n')}</pre>`),
  'an HTML page with status 200': (seen) => html(`<pre>${echoOf(seen).join('\n')} ${TOKEN}</pre>`, 200),
  'JSON that is cut': () => json(`{"access_token":"${TOKEN}","token_type":"Bea`),
  'JSON with garbage': () => json(`{"access_token":"${TOKEN}" ${TOKEN}}`),
  'JSON that is only the token': () => json(JSON.stringify(TOKEN)),
  'JSON that is a list': () => json(JSON.stringify([TOKEN])),
  'the token as text': () => ({ headers: { 'content-type': 'text/plain' }, body: TOKEN }),
  'bytes that are no UTF-8': () => ({
    body: Buffer.concat([Buffer.from(`{"access_token":"${TOKEN}`), Buffer.from([0xff])]),
  }),
  'a token with CR and LF': tokenJson({ access_token: `${TOKEN}\r\nx: y` }),
  'a token with a letter that no header takes': tokenJson({ access_token: `${TOKEN}\u{1f600}` }),
  'a token with a space': tokenJson({ access_token: `${TOKEN} ${TOKEN}` }),
  'a token that is a list': tokenJson({ access_token: [TOKEN] }),
  'an unknown token type': tokenJson({ access_token: TOKEN, token_type: 'mac' }),
  'a token for a token type': tokenJson({ access_token: TOKEN, token_type: TOKEN }),
  'DPoP that nobody asked for': tokenJson({ access_token: TOKEN, token_type: 'DPoP' }),
  'no token type': tokenJson({ access_token: TOKEN, token_type: undefined }),
  'a token for a scope': tokenJson({ access_token: TOKEN, scope: TOKEN }),
  'a scope that is a list': tokenJson({ access_token: TOKEN, scope: [TOKEN] }),
  'too little scope': tokenJson({ access_token: TOKEN, scope: 'a' }),
  'a refresh token that is an object': tokenJson({ access_token: TOKEN, refresh_token: { TOKEN } }),
  'an error beside a token': tokenJson({ access_token: TOKEN, error: 'invalid_request' }),
  'a redirect': (seen) => ({
    status: 307,
    headers: { location: `https://u:${PASSWORD}@elsewhere.example/?${seen.body}&access_token=${TOKEN}` },
  }),
  'a challenge': (seen) => ({
    status: 401,
    headers: { 'www-authenticate': `Basic realm=${JSON.stringify(seen.body)}` },
  }),
  'a busy server': (seen) => ({
    status: 503,
    headers: { 'retry-after': '5' },
    body: JSON.stringify({ error: 'temporarily_unavailable', error_description: seen.body }),
  }),
  'a connection that is cut': () => reset,
  'a connection that is cut in the body': () => (response, socket) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' })
    response.write(`{"access_token":"${TOKEN}`, () => socket.resetAndDestroy())
  },
}

/** One error for every text that the server says back. */
function echoes(texts: (seen: SeenRequest) => readonly string[]): readonly Handler[] {
  const members = [
    (text: string) => errorJson(400, 'invalid_request', { error_description: text }),
    (text: string) => errorJson(401, 'invalid_client', { error_uri: `https://as.example/error?${text}` }),
    (text: string) => errorJson(400, text),
    (text: string) => errorJson(400, 'invalid_request', { error_description: `${'x'.repeat(150)}${text}` }),
  ]
  // The request says how many texts there are; beyond the last one the first is said again.
  return Array.from({ length: 40 }, (_, i) =>
    members.map(
      (answer): Handler =>
        (seen) => {
          const said = texts(seen)
          return answer(said[i % said.length] ?? '')
        },
    ),
  ).flat()
}

describe('A2.01 A2.02 A2.05 failures of the token endpoint', () => {
  for (const [method, make] of Object.entries(AUTHENTICATIONS)) {
    test(`A2.02 ${method}: no failure shows a secret`, async ({ server, recorder, clock }) => {
      for (const [what, answer] of Object.entries(ANSWERS)) {
        server.answer = answer
        const definition = clientOf(server, { authentication: make(), scope: 'a b', parameters: { hint: PARAMETER } })
        const tokens = createTokenManager({ clients: { api: definition }, clock, telemetry: recorder })
        const error = await rejection(tokens.getToken('api'))
        expect(error.name, what).toMatch(/^(Token|Transport)/)
        // What is shared, remembered and refused later is looked at too.
        const again = await rejection(tokens.getToken('api'))
        const sent = server.requests.flatMap((seen) => [
          seen.form.get('client_assertion') ?? '',
          proofsOf(seen)[1] ?? '',
        ])
        expectNoCanary([error, again, tokens, recorder.events, recorder.operations], [...ALL, ...sent])
        await tokens.close()
      }
    })

    const speak = async (
      texts: (seen: SeenRequest) => readonly string[],
      server: Parameters<typeof clientOf>[0] & { answer: Handler; requests: readonly SeenRequest[] },
    ): Promise<void> => {
      for (const answer of echoes(texts)) {
        server.answer = answer
        const definition = clientOf(server, { authentication: make(), parameters: { hint: PARAMETER } })
        const tokens = createTokenManager({ clients: { api: definition } })
        const error = await rejection(tokens.getToken('api'))
        expect(error.name).toBe('TokenEndpointError')
        const assertion = server.requests.at(-1)?.form.get('client_assertion') ?? ''
        expectNoCanary([error], [...ALL, assertion])
      }
    }

    test(`A2.05 ${method}: what the server says back of the request is blotted out`, async ({ server }) => {
      await speak(echoOf, server)
    })

    test(`A2.05 ${method}: what it says back in quotes or in small letters too`, async ({ server }) => {
      await speak(quotedEchoOf, server)
    })
  }

  // The prefix of a secret that is blotted out does not help where its first characters are written in another way.
  test('A2.05 a secret that begins with characters which encodings change', async ({ server }) => {
    const secret = `"\\/+é${canary('sharp')}`
    for (const answer of [...echoes(echoOf), ...echoes(quotedEchoOf)]) {
      server.answer = answer
      const clients = { api: clientOf(server, { authentication: clientSecretPost(secret) }) }
      expectNoCanary([await rejection(createTokenManager({ clients }).getToken('api'))], [secret, secret.slice(5)])
    }
  })

  for (const length of [16, 17, 30, 39]) {
    test(`A2.05 a secret that a server cuts after ${length} characters`, async ({ manage, server }) => {
      const secret = 'abcdefghijklmnopqrstuvwxyz0123456789ABCD'
      const quoted = `"${secret.slice(0, length)}" and "${secret.slice(0, length).toUpperCase()}..."`
      server.answer = () => errorJson(400, 'invalid_request', { error_description: quoted })
      const error = await rejection(manage({ authentication: clientSecretPost(secret) }).getToken('api'))
      expect(error.errorDescription).toBe('"[redacted]" and "[redacted]..."')
    })
  }

  test('A2.02 an assertion that a caller brings along, and one of the central service', async ({ manage, server }) => {
    const value = { type: JWT_BEARER, value: ASSERTION }
    for (const answer of [...Object.values(ANSWERS), ...echoes(echoOf).slice(0, 40)]) {
      server.answer = answer
      const own = manage({ scope: 'a b' })
      const central = manage({ scope: 'a b' }, { clientAssertion: () => value })
      expectNoCanary(
        [await rejection(own.getToken('api', { clientAssertion: value })), await rejection(central.getToken('api'))],
        ALL,
      )
    }
  })

  test('A2.02 an assertion service and a secret that are not what they should be', async ({ manage }) => {
    for (const made of [
      { type: '', value: ASSERTION },
      { type: JWT_BEARER, value: [ASSERTION] },
      ASSERTION,
      [ASSERTION],
    ]) {
      const error = await rejection(manage({}, { clientAssertion: () => made as never }).getToken('api'))
      expect(error.name).toBe('ConfigurationError')
      expectNoCanary([error], ALL)
    }
    const wrong = [{ SECRET }, [SECRET], Buffer.from(SECRET)]
    for (const secret of wrong) {
      expectNoCanary(
        [await rejection(manage({ authentication: clientSecretPost(() => secret as never) }).getToken('api'))],
        ALL,
      )
    }
  })

  test('A2.05 discovery that says things back', async ({ server }) => {
    for (const document of [
      { issuer: `https://u:${PASSWORD}@as.example` },
      { issuer: server.origin, token_endpoint: `https://u:${PASSWORD}@as.example/token` },
      { issuer: server.origin, token_endpoint: `http://as.example/${PASSWORD}` },
      PASSWORD,
    ]) {
      server.answer = () => json(JSON.stringify(document))
      const { tokenEndpoint: _, ...definition } = clientOf(server, { issuer: server.origin })
      const tokens = createTokenManager({ clients: { api: { ...definition } } })
      const error = await rejection(tokens.getToken('api'))
      expect(error.name).toBe('TokenResponseError')
      if (typeof document === 'object' && document.issuer !== server.origin) continue
      expectNoCanary([error], ALL)
    }
  })

  test('A2.02 a revocation that fails shows no token', async ({ server }) => {
    const metadata = {
      issuer: server.origin,
      token_endpoint: server.tokenEndpoint,
      revocation_endpoint: `${server.origin}/revoke`,
    }
    for (const answer of [...echoes(echoOf).slice(0, 60), ANSWERS['a redirect'], ANSWERS['a connection that is cut']]) {
      server.answer = (seen) => {
        if (seen.method === 'GET') return json(JSON.stringify(metadata))
        return seen.url === '/token' ? tokenJson({ access_token: TOKEN })(seen) : (answer?.(seen) ?? reset)
      }
      const { tokenEndpoint: _, ...definition } = clientOf(server, { issuer: server.origin })
      const tokens = createTokenManager({
        clients: { api: { ...definition, authentication: clientSecretPost(SECRET) } },
      })
      await tokens.getToken('api')
      expectNoCanary([await rejection(tokens.revoke('api'))], ALL)
    }
  })

  test('A2.07 no event and no operation tells more than names', async ({ manage, server, recorder, clock }) => {
    server.answer = tokenJson({ access_token: TOKEN, expires_in: 'soon', scope: 'b' })
    const store: TokenStore = {
      get: () => Promise.reject(new Error(TOKEN)),
      set: () => Promise.reject(new Error(TOKEN)),
      delete: () => Promise.reject(new Error(TOKEN)),
    }
    const tokens = manage(
      { scope: 'a', acceptNarrowedScope: true, authentication: clientSecretBasic(SECRET) },
      { store },
    )
    await tokens.getToken('api')
    server.answer = tokenJson({ access_token: TOKEN, scope: 'b' })
    await clock.advance(200)
    await tokens.getToken('api')
    server.answer = (seen) => errorJson(400, `bad ${seen.body}`, { error_description: TOKEN })
    await clock.advance(3_500_000)
    await tokens.getToken('api')
    await expect.poll(() => recorder.events.map(({ name }) => name), { interval: 1 }).toContain('renewal_failed')
    await tokens.delete()
    expect(new Set(recorder.events.map(({ name }) => name))).toEqual(
      new Set(['store_down', 'lifetime_invalid', 'scope_changed', 'renewal_failed']),
    )
    expectNoCanary([recorder.events, recorder.operations, recorder.failures], ALL)
  })
})

describe('A2.03 objects', () => {
  test('A2.03 a token prints its kind, expiry and scope', async ({ manage, server }) => {
    server.answer = tokenJson({ access_token: TOKEN })
    const token = await manage({ scope: 'a' }).getToken('api')
    expect(token.accessToken).toBe(TOKEN)
    expectNoCanary([token, [token], { token }, new Map([['token', token]]), Promise.resolve(token)], ALL)
    expect(`${token}`).toBe('[AccessToken Bearer]')
    expect(JSON.parse(JSON.stringify(token))).toEqual({ tokenType: 'Bearer', expiresAt: token.expiresAt, scope: 'a' })
    expect(Object.keys(token)).not.toContain('accessToken')
    expectNoCanary([createAccessToken({ accessToken: TOKEN, tokenType: 'Bearer', expiresAt: 0 })], ALL)
  })

  test('A2.03 what holds secrets prints none of them', async ({ server, clock }) => {
    server.answer = tokenJson({ access_token: TOKEN })
    const store = memoryStore({ clock })
    const clients = Object.fromEntries(
      Object.entries(AUTHENTICATIONS).map(([name, make]) => [
        name,
        clientOf(server, { authentication: make(), parameters: { hint: PARAMETER } }),
      ]),
    )
    const telemetry = createRecorder()
    const tokens = createTokenManager({ clients, store, clock, telemetry })
    const objects: unknown[] = [tokens, store, telemetry]
    for (const [name, make] of Object.entries(AUTHENTICATIONS)) {
      const request = { parameters: { other: PARAMETER } }
      const sources = [tokens.source(name), tokens.source(name, request)]
      const authorizer = tokens.authorizer(name, { origins: [server.origin] })
      for (const source of sources) expect((await source.getToken()).accessToken).toBe(TOKEN)
      await authorizer.begin({ method: 'GET', url: new URL(server.origin) })
      objects.push(make(), ...sources, authorizer, tokens.fetch(name, { baseUrl: server.origin }))
    }
    const plain = staticSource({ accessToken: TOKEN, tokenType: 'Bearer', expiresAt: Number.POSITIVE_INFINITY })
    const cached = cachedSource(plain, { clock })
    await cached.getToken()
    objects.push(plain, cached, chainSource(plain, cached), observedSource(plain, telemetry, 'api'))
    objects.push(authorizerFrom(plain, { origins: [server.origin] }), none())
    for (const key of [pem, jwk, keyObject, cryptoKeyPair]) {
      const signer = await signerFrom(key, { alg: 'RS256' })
      await signer.sign(new Uint8Array([1]))
      objects.push(signer)
    }
    expectNoCanary(objects, ALL)
  })

  test('A2.03 a key that is refused is not shown', () => {
    const { p: _p, ...withoutP } = jwk
    const broken = [
      () => privateKeyJwt(withoutP),
      () => privateKeyJwt({ ...jwk, kty: 'EC' }),
      () => privateKeyJwt(jwk, { alg: 'ES256' }),
      () => privateKeyJwt(pem.replace('BEGIN PRIVATE', 'BEGIN RSA PRIVATE')),
      () => privateKeyJwt(pem.slice(0, 400)),
      () => privateKeyJwt([pem] as never),
      () => clientSecretJwt(pem),
      () => clientSecretBasic([SECRET] as never),
      () => clientAssertion(ASSERTION as never),
      () => createTokenManager({ clients: { api: SECRET } } as never),
      () => createTokenManager({ clients: { api: clientOf({ tokenEndpoint: `https://u:${PASSWORD}@a.example` }) } }),
      () => createTokenManager({ clients: { api: clientOf({ tokenEndpoint: `http://a.example/?${PASSWORD}` }) } }),
      () => createTokenManager({ clients: { api: clientOf({ tokenEndpoint: `http://[${PASSWORD}` }) } }),
      () =>
        createTokenManager({
          clients: { api: { ...clientOf({ tokenEndpoint: audience }), authentication: SECRET } },
        } as never),
      () => createTokenManager({ clients: { api: clientOf({ tokenEndpoint: audience }, { scope: `${TOKEN}  ` }) } }),
      () => createTokenManager({ clients: { api: clientOf({ tokenEndpoint: audience }, { resource: TOKEN }) } }),
      () =>
        createTokenManager({
          clients: { api: clientOf({ tokenEndpoint: audience }, { parameters: { scope: PARAMETER } }) },
        }),
    ]
    for (const make of broken) {
      let came: unknown
      try {
        came = make()
      } catch (error) {
        came = error
      }
      expect(came, String(make)).toMatchObject({ name: 'ConfigurationError' })
      expectNoCanary([came], ALL)
    }
  })

  test('A2.03 a key that does not import is not shown', async ({ manage }) => {
    const use = async (): Promise<unknown> => {
      const broken = `${pem.slice(0, 1000)}\n-----END PRIVATE KEY-----\n`
      return manage({ authentication: privateKeyJwt(broken, { audience }) }).getToken('api')
    }
    const error = await rejection(use())
    expect(error).toMatchObject({ name: 'ConfigurationError', code: 'key_invalid' })
    expectNoCanary([error], ALL)
  })
})

describe('A2.02 failures at the resource server', () => {
  test('A2.05 a challenge that says the token back', async ({ server, elsewhere, manage }) => {
    server.answer = tokenJson({ access_token: TOKEN })
    const api = manage().fetch('api', { baseUrl: elsewhere.origin })
    for (const text of [TOKEN, `Bearer ${TOKEN}`, Buffer.from(TOKEN).toString('base64'), TOKEN.slice(0, 24)]) {
      for (const member of ['error_description', 'scope', 'acr_values', 'realm', 'max_age', 'error_uri']) {
        elsewhere.answer = () => ({
          status: 403,
          headers: { 'www-authenticate': `Bearer error="insufficient_scope", ${member}="${text}"` },
        })
        const error = await rejection(api('/'))
        expect(error.name).toBe('ChallengeError')
        expectNoCanary([error], ALL)
      }
    }
  })

  test('A2.02 redirects with secrets in their Location', async ({ server, elsewhere, manage }) => {
    server.answer = tokenJson({ access_token: TOKEN })
    const api = manage().fetch('api', { baseUrl: elsewhere.origin })
    const locations = [
      `https://u:${PASSWORD}@127.0.0.1:1/`,
      `ftp://u:${PASSWORD}@127.0.0.1/?${TOKEN}`,
      `http://[${TOKEN}`,
      `http://api.example/?access_token=${TOKEN}`,
      `data:,${TOKEN}`,
      `javascript:${TOKEN}`,
      `/?access_token=${TOKEN}`,
    ]
    for (const location of locations) {
      elsewhere.answer = () => ({ status: 307, headers: { location } })
      const error = await rejection(api('/', { method: 'POST', body: PARAMETER }))
      expect(error.name).toMatch(/^(ConfigurationError|TransportError)$/)
      expectNoCanary([error], ALL)
    }
  })

  test('A2.02 targets that are refused', async ({ server, elsewhere, manage }) => {
    const api = manage().fetch('api', { baseUrl: elsewhere.origin })
    const { host } = new URL(elsewhere.origin)
    const targets = [
      `http://u:${PASSWORD}@${host}/`,
      `https://other.example/?key=${PASSWORD}#${PASSWORD}`,
      `http://[${PASSWORD}`,
      `${elsewhere.origin}/?access_token=${PASSWORD}`,
      `data:,${PASSWORD}`,
      `ftp://${host}/?${PASSWORD}`,
    ]
    for (const target of targets) {
      const error = await rejection(api(target))
      expect(error.name, target).toBe('ConfigurationError')
      expectNoCanary([error], ALL)
    }
    expectNoCanary([await rejection(api('/', { headers: { authorization: `Bearer ${TOKEN}` } }))], ALL)
    expect(server.requests).toHaveLength(0)
    expect(elsewhere.requests).toHaveLength(0)
  })

  const odd = [`${TOKEN}\r\nx: y`, `${TOKEN}\u{1f600}`, `${TOKEN}\u0000`]
  for (const accessToken of odd) {
    const shown = JSON.stringify(accessToken.slice(TOKEN.length))
    const expiresAt = Number.MAX_SAFE_INTEGER

    test(`A2.04 a token that ends in ${shown} and comes from a source of one's own`, async ({ elsewhere }) => {
      const source = { getToken: async () => ({ accessToken, tokenType: 'Bearer' as const, expiresAt }) }
      const api = authorizedFetch(authorizerFrom(source, { baseUrl: elsewhere.origin }), {
        baseUrl: new URL(elsewhere.origin),
      })
      expectNoCanary([await rejection(api('/'))], ALL)
      expect(elsewhere.requests).toHaveLength(0)
    })

    test(`A2.04 a token that ends in ${shown} and is made by hand`, async ({ elsewhere }) => {
      const call = async (): Promise<unknown> => {
        const source = staticSource({ accessToken, tokenType: 'Bearer', expiresAt })
        const authorizer = authorizerFrom(source, { baseUrl: elsewhere.origin })
        return authorizedFetch(authorizer, { baseUrl: new URL(elsewhere.origin) })('/')
      }
      expectNoCanary([await rejection(call())], ALL)
      expect(elsewhere.requests).toHaveLength(0)
    })

    test(`A2.04 a token that ends in ${shown} and lies in the store`, async ({ elsewhere, manage }) => {
      const entry = JSON.stringify({ version: 1, accessToken, tokenType: 'Bearer', expiresAt })
      const store = { get: () => entry, set: () => {}, delete: () => {} }
      const api = manage({}, { store }).fetch('api', { baseUrl: elsewhere.origin })
      // Either it is passed over, or the call fails without showing it.
      const came = await api('/').then(
        ({ status }) => status,
        (error) => error,
      )
      expectNoCanary([came], ALL)
      for (const { headers } of elsewhere.requests) expect(headers.authorization).toBe('Bearer token-1')
    })
  }
})

describe('A7.02 what a server says is safe to log', () => {
  const evil =
    'fine\r\n2026-01-01 ERROR forged\u001b[31m red\u001b]0;title\u0007 \u0000\u0008\u007f\u0085\u009b31m\u2028\u2029\u202e\u2066'
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
  const control = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/u

  function expectHarmless(error: Error & Record<string, unknown>): void {
    const { message, error: code, errorDescription, errorUri, scope, acrValues } = error
    for (const text of [message, code, errorDescription, errorUri, scope, acrValues]) {
      expect(String(text)).not.toMatch(control)
    }
  }

  for (const member of ['error', 'error_description', 'error_uri']) {
    test(`A7.02 control characters in ${member}`, async ({ manage, server }) => {
      server.answer = () => errorJson(400, 'invalid_request', { [member]: evil })
      const error = await rejection(manage().getToken('api'))
      expect(error.name).toBe('TokenEndpointError')
      expectHarmless(error)
      expect(textsOf(error).join('')).not.toContain('\u001b')
    })
  }

  test('A7.02 control characters in the members of a token', async ({ manage, server }) => {
    for (const members of [{ token_type: evil }, { scope: evil }, { access_token: evil }]) {
      server.answer = tokenJson(members)
      expectHarmless(await rejection(manage({ scope: 'a' }).getToken('api')))
    }
  })

  test('A7.02 control characters in a challenge', async ({ manage, elsewhere }) => {
    const latin = 'fine\u0085\u009b31m\t'
    for (const member of ['error_description', 'scope', 'acr_values']) {
      elsewhere.answer = () => ({
        status: 403,
        headers: { 'www-authenticate': `Bearer error="insufficient_scope", ${member}="${latin}"` },
      })
      expectHarmless(await rejection(manage().fetch('api', { baseUrl: elsewhere.origin })('/')))
    }
  })

  test('A7.02 control characters in the issuer of a document', async ({ server }) => {
    const { tokenEndpoint: _, ...definition } = clientOf(server, { issuer: server.origin })
    server.answer = () => json(JSON.stringify({ issuer: evil }))
    const error = await rejection(createTokenManager({ clients: { api: { ...definition } } }).getToken('api'))
    expect(error.code).toBe('issuer_mismatch')
    expectHarmless(error)
  })
})

describe('A2 users', () => {
  const HOUR = 3_600_000
  const REFRESH = plainCanary('refresh token')
  const NEXT_TOKEN = plainCanary('next access token')
  const NEXT_REFRESH = plainCanary('next refresh token')
  const CLAIM = plainCanary('a claim of the ID token')
  const SIGNATURE = plainCanary('signature of the ID token')
  const COOKIE_KEY = plainCanary('cookie key').slice(0, 43)
  const USERS = [...ALL, REFRESH, NEXT_TOKEN, NEXT_REFRESH, CLAIM, SIGNATURE, COOKIE_KEY]

  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const claimsOf = (iss: string) => ({ secret: CLAIM, iss, sub: 'alice', aud: 'machine', iat: 1, exp: 4_102_444_800 })
  const idToken = (iss: string): string => `${part({ alg: 'RS256', kid: 'k' })}.${part(claimsOf(iss))}.${SIGNATURE}`
  const loginAt = ({ origin }: HostileServer, subject = 'alice'): LoginResponse => {
    const login = { access_token: TOKEN, refresh_token: REFRESH, expires_in: 3600, subject }
    return subject === 'alice' ? { ...login, id_token: idToken(origin) } : login
  }
  const refreshed = (server: HostileServer): Handler =>
    tokenJson({ access_token: NEXT_TOKEN, refresh_token: NEXT_REFRESH, id_token: idToken(server.origin) })

  interface World {
    readonly server: HostileServer
    readonly clock: TestClock
    readonly recorder: Recorder
  }

  /** One client whose sessions, locks and successors are where everything that is ever written is remembered. */
  function startUsers({ server, clock, recorder }: World, authentication = clientSecretPost(SECRET)) {
    const written: string[] = []
    const [records, store] = [memoryRecords({ clock }), memoryStore({ clock })]
    const keys = { keys: [{ id: 'a', key: COOKIE_KEY }] }
    const subjects = storedSessions(
      encryptedRecords(
        {
          get: (key) => records.get(key),
          delete: (key) => records.delete(key),
          put(key, value, write) {
            written.push(key, value)
            return records.put(key, value, write)
          },
        },
        keys,
        { clock },
      ),
      { clock },
    )
    const shared: TokenStore = {
      get: (key) => store.get(key),
      delete: (key) => store.delete(key),
      set(key, value, expiresAt) {
        written.push(key, value)
        return store.set(key, value, expiresAt)
      },
    }
    const web = clientOf(server, { issuer: server.origin, tokenEndpoint: undefined, authentication })
    const tokens = createUserTokenManager({
      clients: { web },
      subjects,
      store: shared,
      clock,
      telemetry: recorder,
      transformClaims: () => ({ theme: 'dark' }),
    })
    const cookies = cookieSessions({ ...keys, clock, telemetry: recorder })
    return { tokens, subjects, cookies, written }
  }

  /** A server whose endpoints answer as they are told, and which says where they are. */
  function answering(token: Handler, revocation: Handler = () => ({})): Handler {
    return withMetadata((request) => (request.url === '/token' ? token(request) : revocation(request)))
  }

  test('A2.03 A2.07 sign-in, refresh and sign-out: nothing that holds tokens prints one, and nothing is kept in clear', async ({
    server,
    clock,
    recorder,
  }) => {
    server.answer = answering(refreshed(server))
    const { tokens, subjects, cookies, written } = startUsers({ server, clock, recorder })
    const stored = subjects.create()
    const carried = await cookies.fromRequest(undefined)
    const users = [
      tokens.forSubject('web', 'alice'),
      tokens.forSession('web', stored),
      tokens.forSession('web', carried),
    ]
    const opened = [
      subjects.ofSubject({ issuer: server.origin, clientId: 'machine', subject: 'alice' }),
      stored,
      carried,
    ]
    const objects: unknown[] = [tokens, subjects, cookies, recorder]
    const look = async (expected: string): Promise<void> => {
      for (const [n, user] of users.entries()) {
        const source = user.source()
        const authorizer = user.authorizer({ origins: [server.origin] })
        const token = await source.getToken()
        expect(token.accessToken).toBe(expected)
        await authorizer.begin({ method: 'GET', url: new URL(server.origin) })
        objects.push(user, source, authorizer, user.fetch({ baseUrl: server.origin }), token, await user.read())
        objects.push(opened[n], await opened[n]?.load())
      }
      // What goes to the browser says which session it is.
      expectNoCanary([carried.responseHeaders, carried.setCookies], USERS)
      expectNoCanary(objects, [...USERS, stored.id, carried.id])
    }
    for (const user of users) await user.adopt(loginAt(server))
    await look(TOKEN)
    await clock.advance(HOUR)
    await look(NEXT_TOKEN)
    for (const user of users) await user.signOut()
    for (const user of users) objects.push(await rejection(user.source().getToken()))
    expectNoCanary(objects, [...USERS, stored.id, carried.id])

    expect(written.length).toBeGreaterThan(12)
    // Whoever reads the store, or a log of its keys, cannot use the sessions.
    expectNoCanary(
      [written, recorder.events, recorder.operations, recorder.outcomes],
      [...USERS, stored.id, carried.id],
    )
    expect(new Set(recorder.events.map(({ name }) => name))).toEqual(new Set(['session_updated', 'session_ended']))
    await tokens.close()
  })

  for (const [method, make] of Object.entries(AUTHENTICATIONS)) {
    test(`A2.02 ${method}: no refresh that fails shows a secret`, async ({ server, clock, recorder }) => {
      const { tokens, written } = startUsers({ server, clock, recorder }, make())
      for (const [n, [what, answer]] of Object.entries(ANSWERS).entries()) {
        server.answer = answering(answer)
        const user = tokens.forSubject('web', `user${n}`)
        await user.adopt(loginAt(server, `user${n}`))
        const source = user.source({ scope: 'a b', parameters: { hint: PARAMETER } })
        const errors = [await rejection(source.getToken()), await rejection(source.getToken())]
        for (const { name } of errors) expect(name, what).toMatch(/^(Token|Transport|Session)/)
        const sent = server.requests.flatMap((seen) => [
          seen.form.get('client_assertion') ?? '',
          proofsOf(seen)[1] ?? '',
        ])
        expectNoCanary([errors, user, tokens, await user.read()], [...USERS, ...sent])
      }
      expectNoCanary([written, recorder.events, recorder.operations, recorder.outcomes], USERS)
    })
  }

  for (const method of ['clientSecretBasic', 'clientSecretPost', 'privateKeyJwt', 'attestJwtClientAuth']) {
    const make = AUTHENTICATIONS[method] as () => ClientAuthentication
    for (const [way, texts] of Object.entries({ 'as it was': echoOf, 'in quotes': quotedEchoOf })) {
      test(`A2.05 ${method}: what the server says back of a refresh, ${way}, is blotted out`, async ({
        server,
        clock,
        recorder,
      }) => {
        const { tokens } = startUsers({ server, clock, recorder }, make())
        for (const [n, answer] of echoes(texts).entries()) {
          server.answer = answering(answer)
          const user = tokens.forSubject('web', `user${n}`)
          await user.adopt(loginAt(server, `user${n}`))
          const error = await rejection(user.source({ parameters: { hint: PARAMETER } }).getToken())
          expect(error.name).toMatch(/^(TokenEndpoint|Session)Error$/)
          const assertion = server.requests.at(-1)?.form.get('client_assertion') ?? ''
          expectNoCanary([error, error.cause], [...USERS, assertion])
        }
        expectNoCanary([recorder.events, recorder.outcomes], USERS)
      })
    }
  }

  test('A2.02 A2.05 revocations that fail, at a sign-out and on demand, show no token', async ({
    server,
    clock,
    recorder,
  }) => {
    const { tokens, written } = startUsers({ server, clock, recorder })
    for (const [n, answer] of [...echoes(echoOf).slice(0, 60), ...Object.values(ANSWERS)].entries()) {
      server.answer = answering(refreshed(server), answer)
      for (const end of ['signOut', 'revoke'] as const) {
        const user = tokens.forSubject('web', `${end}${n}`)
        await user.adopt(loginAt(server, `${end}${n}`))
        await user[end]({ parameters: { hint: PARAMETER } })
      }
    }
    expect(recorder.events.map(({ name }) => name)).toContain('revocation_failed')
    expectNoCanary([tokens, written, recorder.events, recorder.operations, recorder.outcomes], USERS)
  })

  test('A2.02 a logout that the server tells: neither the answer nor an event shows the logout token or one that it ends', async ({
    server,
    clock,
    recorder,
  }) => {
    const world = await createLogoutServer(server, { now: clock.now })
    const { tokens, subjects, written } = startUsers({ server, clock, recorder })
    const receive = backChannelLogout(tokens, { client: 'web', sessions: subjects })
    const key = await testKey('RS256')
    const claims = { ...logoutClaims(server.origin, clock.now()), sub: 'alice', secret: CLAIM }
    await tokens.forSession('web', subjects.create()).adopt(loginAt(server))
    const good = await signed(key, claims)
    const texts = [
      good,
      good,
      `${good.slice(0, -20)}${SIGNATURE.slice(0, 20)}`,
      ASSERTION,
      `${good}.${TOKEN}`,
      await signed(key, { ...claims, iss: `https://u:${PASSWORD}@as.example` }),
      await signed(key, { ...claims, jti: [TOKEN] }),
      await signed(key, claims, { kid: TOKEN }),
      await signed(key, claims, { typ: TOKEN }),
    ]
    const answers: unknown[] = []
    for (const text of texts) {
      const response = await receive(logoutRequest(text))
      answers.push(response.status, [...response.headers], await response.text())
    }
    world.fault = () => ({ status: 500, body: good })
    const response = await receive(logoutRequest(await signed({ ...key, kid: 'other' }, { ...claims, jti: 'other' })))
    answers.push([...response.headers], await response.text())
    await tokens.close()
    expect(answers[0]).toBe(200)
    const secrets = [...USERS, ...texts.flatMap((text) => text.split('.').slice(1))]
    expectNoCanary([answers, receive, written, recorder.events, recorder.outcomes], secrets)
    expect(recorder.events.map(({ name }) => name)).toEqual(expect.arrayContaining(['session_ended', 'logout_failed']))
  })

  test('A2.02 logins that are none', async ({ server, clock, recorder }) => {
    const { tokens } = startUsers({ server, clock, recorder })
    const user = tokens.forSubject('web', 'alice')
    const login = loginAt(server)
    const broken: readonly Readonly<Record<string, unknown>>[] = [
      { ...login, access_token: `${TOKEN}\r\nx: y` },
      { ...login, access_token: [TOKEN] },
      { ...login, refresh_token: { REFRESH } },
      { ...login, refresh_token: `${REFRESH}\u{1f600}` },
      { ...login, id_token: SIGNATURE },
      { ...login, id_token: `${CLAIM}.${CLAIM}.${SIGNATURE}` },
      { ...login, subject: TOKEN },
      { ...login, subject: [TOKEN] },
      { ...login, token_type: TOKEN },
      { ...login, token_type: 'DPoP' },
      { ...login, jkt: TOKEN },
      { ...login, expires_in: TOKEN },
    ]
    for (const each of broken) {
      const error = await rejection(user.adopt(each as never))
      expect(error, Object.keys(each).join()).toMatchObject({ name: 'ConfigurationError', code: 'login_invalid' })
      expectNoCanary([error], USERS)
    }
    for (const text of [TOKEN, ASSERTION, JSON.stringify(login)]) {
      expectNoCanary([await rejection(user.adopt(text as never))], USERS)
    }
    expectNoCanary([recorder.events, recorder.outcomes, user], USERS)
  })

  test('A2.02 cookies and keys that are refused, and sets that have no room', async ({ server, clock, recorder }) => {
    const { tokens, cookies } = startUsers({ server, clock, recorder })
    const session = await cookies.fromRequest(undefined)
    await tokens.forSession('web', session).adopt(loginAt(server))
    const jar = createCookieJar()
    jar.take(session.setCookies)
    const value = jar.header.slice(jar.header.indexOf('=') + 1)
    const objects: unknown[] = []
    for (const bad of [
      `${value}x`,
      value.slice(1),
      value.slice(0, 200),
      `${value}.${TOKEN}`,
      TOKEN,
      `${TOKEN}.${TOKEN}`,
    ]) {
      const found = await cookies.fromRequest(`__Host-session=${bad}`)
      const user = tokens.forSession('web', found)
      objects.push(found, user, await user.read(), await rejection(user.source().getToken()))
    }
    const large = { ...loginAt(server), claims: { padding: TOKEN.repeat(200) } }
    objects.push(await rejection(tokens.forSession('web', await cookies.fromRequest(undefined)).adopt(large)))
    for (const key of [`${PASSWORD}x`, PASSWORD.slice(0, 30), `${COOKIE_KEY}=!`, [COOKIE_KEY], { COOKIE_KEY }]) {
      objects.push(await rejection((async () => cookieSessions({ keys: [{ id: 'a', key: key as never }] }))()))
    }
    expectNoCanary([objects, recorder.events], [...USERS, value.slice(100)])
    expect(recorder.events.map(({ name }) => name)).toContain('cookie_ignored')
  })

  test('A2.07 a store, records and a lock that say tokens in their errors: no event has them', async ({
    server,
    clock,
    recorder,
  }) => {
    server.answer = answering(refreshed(server))
    const refuse = (): Promise<never> => Promise.reject(new Error(NEXT_REFRESH))
    const records = memoryRecords({ clock })
    let isDown = false
    const subjects = storedSessions(
      { ...records, put: (key, value, write) => (isDown ? refuse() : records.put(key, value, write)) },
      { clock },
    )
    const clients = { web: clientOf(server, { issuer: server.origin, tokenEndpoint: undefined }) }
    const tokens = createUserTokenManager({
      clients,
      subjects,
      store: { get: refuse, set: refuse, delete: refuse },
      lock: localLock(),
      clock,
      telemetry: recorder,
      transformClaims: () => refuse(),
    })
    const user = tokens.forSubject('web', 'alice')
    await user.adopt({ ...loginAt(server), claims: {} })
    isDown = true
    const asked = user.source().getToken({ forceRenewal: true })
    await whileTimePasses(
      clock,
      asked.catch(() => {}),
    )
    const names = new Set(recorder.events.map(({ name }) => name))
    expect([...names]).toEqual(expect.arrayContaining(['store_down', 'session_write_failed', 'session_persist_failed']))
    expectNoCanary([recorder.events, recorder.operations, recorder.failures, tokens, user], USERS)
  })
})

describe('A2.01 the output of a process', () => {
  const program = `
    import { createServer } from 'node:http'
    import { buffer } from 'node:stream/consumers'
    import { clientSecretBasic, clientSecretPost, createTokenManager, privateKeyJwt, staticSource } from 'evertoken'
    import { boundedSigner, keyRing, signerFrom } from 'evertoken/keys'
    import { nodeSigner } from 'evertoken/node'
    const { SECRET, TOKEN, KEY } = process.env
    const ring = keyRing([{ key: KEY, kid: 'k1' }])
    const signer = nodeSigner(KEY)
    const server = createServer(async (request, response) => {
      const body = String(await buffer(request))
      const said = body + JSON.stringify(request.headers)
      response.setHeader('content-type', 'application/json')
      if (request.url === '/fine') return response.end(JSON.stringify({ access_token: TOKEN, token_type: 'Bearer' }))
      if (request.url === '/cut') return request.socket.destroy()
      response.writeHead(400).end(JSON.stringify({ error: 'invalid_request', error_description: said, error_uri: said }))
    }).listen(0, '127.0.0.1', async () => {
      const origin = 'http://127.0.0.1:' + server.address().port
      const client = (path, make) => ({ tokenEndpoint: origin + path, clientId: 'machine', authentication: make(SECRET) })
      const clients = {
        fine: client('/fine', clientSecretBasic),
        basic: client('/echo', clientSecretBasic),
        post: client('/echo', clientSecretPost),
        cut: client('/cut', clientSecretPost),
        key: { ...client('/echo', () => privateKeyJwt(ring)), issuer: 'https://as.example' },
      }
      const tokens = createTokenManager({ clients })
      const token = await tokens.getToken('fine')
      if (token.accessToken !== TOKEN) throw new Error('expected the token')
      const objects = [token, tokens, clients, tokens.source('fine'), staticSource(token)]
      objects.push(ring, await ring.publicJwks(), signer, boundedSigner(signer), await signerFrom(KEY))
      try { nodeSigner(KEY, { alg: 'ES256' }) } catch (error) { objects.push(error) }
      for (const name of ['key', 'basic', 'post', 'cut']) await tokens.getToken(name).catch((error) => objects.push(error))
      for (const value of objects) {
        console.log(value)
        console.error('%o %O %j %s', value, value, value, value)
        console.dir(value, { depth: 20, showHidden: true })
        console.table(value)
      }
      console.log('printed ' + objects.length)
      server.close()
      server.closeAllConnections()
      throw objects.at(-2)
    })`

  test('A2.01 printing everything, and dying of an error, shows no secret', async () => {
    const { NODE_DEBUG: _, ...env } = process.env
    const root = fileURLToPath(new URL('../..', import.meta.url))
    const run = promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], {
      cwd: root,
      env: { ...env, SECRET, TOKEN, KEY: pem },
    })
    const died = (await rejection(run)) as unknown as { stdout: string; stderr: string }
    expect(died.stdout).toContain('printed 15')
    expect(died.stderr).toContain('TokenEndpointError')
    // The program itself is an argument of the command and holds no secret.
    expectNoCanary([died.stdout, died.stderr], [SECRET, TOKEN, ...PRIVATE, ...PEM])
  })
})

describe('the looking itself', () => {
  for (const secret of [SECRET, TOKEN]) {
    const forms = {
      plain: secret,
      'first characters': secret.slice(0, 16),
      base64: Buffer.from(secret).toString('base64'),
      base64url: Buffer.from(secret).toString('base64url'),
      Basic: Buffer.from(`machine:${secret}`).toString('base64'),
      encoded: encodeURIComponent(secret),
      JSON: JSON.stringify(secret),
    }
    for (const [form, text] of Object.entries(forms)) {
      test(`A2.02 finds ${form} of ${secret === TOKEN ? 'a token' : 'a secret'} in messages, causes and members`, () => {
        const deep = new Error('a', { cause: new Error('b', { cause: new Error(text) }) })
        const hidden = Object.defineProperty(new Error('a'), 'hidden', { value: { text } })
        for (const value of [new Error(text), deep, hidden, { a: [{ b: text }] }, new Map([[text, 1]])]) {
          expect(() => expectNoCanary([value], ALL)).toThrow('came to light')
        }
      })
    }
  }
})
