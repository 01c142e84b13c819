import { generateKeyPairSync } from 'node:crypto'
import {
  type ClientAuthentication,
  clientAssertion,
  clientSecretBasic,
  clientSecretJwt,
  clientSecretPost,
  createTokenManager,
  none,
  privateKeyJwt,
  type Resolvable,
} from 'evertoken'
import { describe, expect } from 'vitest'
import { rejection, test } from '../support/fixtures.ts'
import { testKey } from '../support/keys.ts'

const client = {
  tokenEndpoint: 'https://as.example/token',
  clientId: 'machine',
  authentication: clientSecretBasic('a-long-enough-secret'),
}
const { tokenEndpoint: _, ...homeless } = client
const long = 'x'.repeat(64)

interface Row {
  readonly what: string
  /** What of the configuration the message names. */
  readonly names: readonly string[]
  readonly code?: string
}

/** Makes a manager out of anything, and fails when a request leaves while it is made. */
function create(options: object): unknown {
  const fetch = (): never => {
    throw new Error('a request was sent')
  }
  return createTokenManager({ fetch, ...options } as never)
}

/** What was thrown; fails when nothing was. */
function thrown(work: () => unknown): Error & Record<string, unknown> {
  try {
    work()
  } catch (error) {
    return error as Error & Record<string, unknown>
  }
  throw new Error('expected an error, got a result')
}

function expectRefusal(error: Error, { names, code = 'option_invalid' }: Row): void {
  expect(error).toMatchObject({ name: 'ConfigurationError', code, retryable: false })
  for (const name of names) expect(error.message).toContain(name)
}

describe('M2 options of a client', () => {
  const rows: readonly (Row & { readonly definition: unknown })[] = [
    { what: 'no object', definition: 'https://as.example', names: ['an object'] },
    { what: 'null', definition: null, names: ['an object'] },
    { what: 'a list', definition: [client], names: ['an object'] },
    {
      what: 'an unknown option',
      definition: { ...client, clientSecret: long },
      names: ['clientSecret', 'authentication'],
      code: 'option_unknown',
    },
    { what: 'no client id', definition: { ...client, clientId: undefined }, names: ['clientId', 'undefined'] },
    { what: 'an empty client id', definition: { ...client, clientId: '' }, names: ['clientId', 'an empty string'] },
    { what: 'a client id that is a number', definition: { ...client, clientId: 7 }, names: ['clientId', 'a number'] },
    { what: 'neither issuer nor token endpoint', definition: homeless, names: ['issuer', 'tokenEndpoint', 'neither'] },
    { what: 'no authentication', definition: { ...client, authentication: undefined }, names: ['authentication'] },
    { what: 'a secret as authentication', definition: { ...client, authentication: long }, names: ['authentication'] },
    {
      what: 'an authentication without apply',
      definition: { ...client, authentication: { method: 'none' } },
      names: ['authentication'],
    },
    ...[
      'http://as.example/token',
      'http://127.0.0.1.example/token',
      'http://10.0.0.1/token',
      'http://localhost.example/',
    ].map((tokenEndpoint) => ({
      what: `token endpoint ${tokenEndpoint}`,
      definition: { ...client, tokenEndpoint },
      names: ['tokenEndpoint', 'https'],
    })),
    ...[
      'http://as.example',
      'http://169.254.169.254',
      'ftp://as.example',
      'file:///etc/passwd',
      'data:,x',
      'javascript:0',
    ].map((issuer) => ({ what: `issuer ${issuer}`, definition: { ...homeless, issuer }, names: ['issuer', 'https'] })),
    ...['as.example', '/token', '', 'https://', 7, null, {}].flatMap((value) => [
      {
        what: `token endpoint ${JSON.stringify(value)}`,
        definition: { ...client, tokenEndpoint: value },
        names: ['tokenEndpoint', 'an absolute URL'],
      },
      {
        what: `issuer ${JSON.stringify(value)}`,
        definition: { ...homeless, issuer: value },
        names: ['issuer', 'an absolute URL'],
      },
    ]),
    {
      what: 'an issuer with a query',
      definition: { ...homeless, issuer: 'https://as.example/?a=b' },
      names: ['issuer', 'query'],
    },
    {
      what: 'an issuer with a fragment',
      definition: { ...homeless, issuer: 'https://as.example/#a' },
      names: ['issuer', 'fragment'],
    },
    {
      what: 'a token endpoint with a fragment',
      definition: { ...client, tokenEndpoint: 'https://as.example/token#a' },
      names: ['tokenEndpoint', 'fragment'],
    },
    ...['https://user:pass-word@as.example', 'https://user@as.example', 'https://:pass-word@as.example'].flatMap(
      (url) => [
        {
          what: `issuer with user info ${url}`,
          definition: { ...homeless, issuer: url },
          names: ['issuer', 'user name'],
        },
        {
          what: `token endpoint with user info ${url}`,
          definition: { ...client, tokenEndpoint: url },
          names: ['tokenEndpoint', 'user name'],
        },
      ],
    ),
    ...[' ', 'a  b', ' a', 'a ', 'a\tb', 'a\nb', 'a"b', 'a\\b', 'ä', 7, ['a'], null].map((scope) => ({
      what: `scope ${JSON.stringify(scope)}`,
      definition: { ...client, scope },
      names: ['scope', 'RFC 6749'],
    })),
    ...[
      '/relative',
      'api.example',
      '',
      'https://a.example/#x',
      'urn:a#',
      'https://a.example/\u0000',
      7,
      [7],
      ['urn:a', ''],
    ].map((resource) => ({
      what: `N8.01 resource ${JSON.stringify(resource)}`,
      definition: { ...client, resource },
      names: ['resource', 'RFC 8707'],
    })),
    ...[
      'grant_type',
      'client_id',
      'client_secret',
      'client_assertion',
      'client_assertion_type',
      'scope',
      'resource',
    ].map((name) => ({
      what: `the reserved parameter ${name}`,
      definition: { ...client, parameters: { [name]: 'x' } },
      names: [name],
      code: 'parameter_reserved',
    })),
    { what: 'parameters as text', definition: { ...client, parameters: 'a=b' }, names: ['parameters'] },
    { what: 'parameters as a list', definition: { ...client, parameters: ['a'] }, names: ['parameters'] },
    { what: 'a parameter that is a number', definition: { ...client, parameters: { a: 7 } }, names: ['parameters.a'] },
    { what: 'a parameter without name', definition: { ...client, parameters: { '': 'x' } }, names: ['parameters'] },
    { what: 'fetch that is no function', definition: { ...client, fetch: {} }, names: ['fetch', 'a function'] },
    {
      what: 'acceptNarrowedScope that is no boolean',
      definition: { ...client, acceptNarrowedScope: 'yes' },
      names: ['acceptNarrowedScope'],
    },
    {
      what: 'an unknown lifetime option',
      definition: { ...client, lifetime: { renewBefore: 1 } },
      names: ['lifetime', 'renewBefore'],
      code: 'option_unknown',
    },
    ...['renewBeforeMs', 'waitBeforeMs', 'assumedMs', 'maximumMs'].flatMap((option) =>
      [-1, Number.NaN, Number.POSITIVE_INFINITY, '5', null].map((value) => ({
        what: `lifetime.${option} of ${value === null ? 'null' : typeof value} ${value}`,
        definition: { ...client, lifetime: { [option]: value } },
        names: ['lifetime', option],
      })),
    ),
    ...[null, 7, []].map((lifetime) => ({
      what: `lifetime ${JSON.stringify(lifetime)}`,
      definition: { ...client, lifetime },
      names: ['lifetime', 'an object'],
    })),
  ]
  for (const row of rows) {
    test(`M2 ${row.what} is refused at creation`, () => {
      const error = thrown(() => create({ clients: { good: client, catalog: row.definition } }))
      expectRefusal(error, { ...row, names: ['client "catalog"', ...row.names] })
      expect(error.message).not.toMatch(/pass-word|xxxx/)
    })
  }

  test('M2 an assertion without issuer and audience has nobody to be addressed to', async () => {
    const { pem } = await testKey('ES256')
    for (const authentication of [privateKeyJwt(pem), clientSecretJwt(long)]) {
      const error = thrown(() => create({ clients: { catalog: { ...client, authentication } } }))
      expectRefusal(error, { what: '', names: ['client "catalog"', 'issuer', 'audience'] })
    }
    for (const authentication of [
      privateKeyJwt(pem, { audience: 'https://as.example' }),
      clientSecretJwt(long, { audience: 'https://as.example' }),
    ]) {
      expect(create({ clients: { catalog: { ...client, authentication } } })).toBeDefined()
    }
    const issuer = 'https://as.example'
    expect(create({ clients: { catalog: { ...client, issuer, authentication: privateKeyJwt(pem) } } })).toBeDefined()
  })

  for (const host of ['127.0.0.1', '127.1.2.3', 'localhost', 'as.localhost', '[::1]']) {
    test(`M2 http to ${host} is fine, with a port and without`, () => {
      for (const origin of [`http://${host}`, `http://${host}:8080`]) {
        expect(create({ clients: { a: { ...homeless, issuer: origin } } })).toBeDefined()
        expect(create({ clients: { a: { ...client, tokenEndpoint: `${origin}/token` } } })).toBeDefined()
      }
    })
  }

  for (const resource of ['https://api.example/x?y=z', 'urn:example:api', ['https://a.example', 'api:b'], []]) {
    test(`N8.01 the resource ${JSON.stringify(resource)} is fine`, () => {
      expect(create({ clients: { a: { ...client, resource } } })).toBeDefined()
    })
  }

  test('M2 zero is a length of time, and undefined is the same as nothing', () => {
    const lifetime = { renewBeforeMs: 0, waitBeforeMs: 0, assumedMs: 0, maximumMs: undefined }
    const nothing = {
      issuer: undefined,
      scope: undefined,
      resource: undefined,
      parameters: undefined,
      fetch: undefined,
    }
    expect(create({ clients: { a: { ...client, ...nothing, lifetime } }, store: undefined })).toBeDefined()
  })
})

describe('M2 options of a manager', () => {
  const clients = { catalog: client }
  const get = (): undefined => undefined
  const rows: readonly (Row & { readonly options: object })[] = [
    { what: 'an unknown option', options: { clients, client }, names: ['"client"', 'clients'], code: 'option_unknown' },
    { what: 'no clients', options: {}, names: ['clients', 'undefined'] },
    { what: 'clients that are null', options: { clients: null }, names: ['clients', 'null'] },
    { what: 'clients that are text', options: { clients: 'catalog' }, names: ['clients', 'a string'] },
    { what: 'clients that are a list', options: { clients: [client] }, names: ['clients', 'an array'] },
    { what: 'fetch', options: { clients, fetch: 'fetch' }, names: ['fetch', 'a function'] },
    { what: 'clientAssertion', options: { clients, clientAssertion: {} }, names: ['clientAssertion', 'a function'] },
    { what: 'customizeRequest', options: { clients, customizeRequest: 7 }, names: ['customizeRequest', 'a function'] },
    { what: 'a store of nothing', options: { clients, store: {} }, names: ['store', '"get"'] },
    { what: 'a store that is null', options: { clients, store: null }, names: ['store', '"get"'] },
    { what: 'a store without set', options: { clients, store: { get } }, names: ['store', '"set"'] },
    { what: 'a store without delete', options: { clients, store: { get, set: get } }, names: ['store', '"delete"'] },
    {
      what: 'an unknown lifetime option',
      options: { clients, lifetime: { renewBefore: 1 } },
      names: ['lifetime', 'renewBefore'],
      code: 'option_unknown',
    },
    ...[-1, Number.NaN, Number.POSITIVE_INFINITY, '10', null].flatMap((value) => [
      { what: `lifetime of ${value}`, options: { clients, lifetime: { maximumMs: value } }, names: ['maximumMs'] },
      { what: `deadlineMs of ${value}`, options: { clients, deadlineMs: value }, names: ['deadlineMs'] },
    ]),
    ...[0, -1, 1.5, Number.NaN, '10', null].map((maxEntries) => ({
      what: `maxEntries of ${maxEntries}`,
      options: { clients, maxEntries },
      names: ['maxEntries'],
    })),
  ]
  for (const row of rows) {
    test(`M2 ${row.what} is refused at creation`, () => {
      expectRefusal(
        thrown(() => create(row.options)),
        { ...row, names: ['createTokenManager', ...row.names] },
      )
    })
  }

  for (const options of [undefined, null, 'clients', []]) {
    test(`M2 ${JSON.stringify(options) ?? 'undefined'} for all options is refused`, () => {
      // @ts-expect-error no options at all
      const error = thrown(() => createTokenManager(options))
      expectRefusal(error, { what: '', names: ['createTokenManager'] })
    })
  }

  test('M2 the first mistake of many clients is told by its client', () => {
    const all = { one: client, two: { ...client, clientId: '' }, three: {} }
    expect(thrown(() => create({ clients: all })).message).toContain('client "two"')
  })
})

describe('M2 secrets and keys', () => {
  const makers = { clientSecretBasic, clientSecretPost, clientSecretJwt }
  const audience = { audience: 'https://as.example' }
  for (const [name, make] of Object.entries<(secret: Resolvable<string>, options?: object) => ClientAuthentication>(
    makers,
  )) {
    for (const secret of ['', undefined, null, 7, {}]) {
      test(`M2 ${name} refuses the secret ${JSON.stringify(secret) ?? 'undefined'}`, () => {
        // @ts-expect-error not always a text
        const error = thrown(() => make(secret))
        expectRefusal(error, { what: '', names: [name, 'secret'], code: 'secret_invalid' })
      })
    }

    test(`M2 ${name} refuses the secret that a function does not give, and sends nothing`, async ({
      manage,
      server,
    }) => {
      for (const secret of ['', undefined]) {
        const authentication = make(() => secret as string, audience)
        const error = await rejection(manage({ authentication }).getToken('api'))
        expectRefusal(error, { what: '', names: [name, 'secret'], code: 'secret_invalid' })
      }
      expect(server.requests).toHaveLength(0)
    })
  }

  test('M2 clientSecretJwt refuses a secret that is too short for its hash, and a key', () => {
    for (const secret of ['short-secret', '-----BEGIN PRIVATE KEY-----\nabcdefgh\n-----END PRIVATE KEY-----']) {
      const error = thrown(() => clientSecretJwt(secret))
      expectRefusal(error, { what: '', names: ['clientSecretJwt', 'bytes'], code: 'secret_invalid' })
      expect(error.message).not.toMatch(/short-secret|abcdefgh/)
    }
  })

  test('M2 privateKeyJwt refuses keys of the wrong kind, and does not show them', async () => {
    const { publicJwk, publicKeyObject, cryptoKeyPair, jwk, pem } = await testKey('ES256')
    const ec = generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey
    const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey
    const bad: readonly (readonly [unknown, object?])[] = [
      [undefined],
      [''],
      ['not a key'],
      [7],
      [{}],
      [publicJwk],
      [publicKeyObject],
      [cryptoKeyPair.publicKey],
      [publicKeyObject.export({ format: 'pem', type: 'spki' })],
      [{ kty: 'oct', k: 'c2VjcmV0LWtleS1vZi1zb21lLWxlbmd0aA' }],
      [{ ...jwk, x: undefined }],
      [ec],
      [ec.export({ format: 'pem', type: 'sec1' })],
      [rsa],
      [rsa.export({ format: 'pem', type: 'pkcs8' })],
      [jwk, { alg: 'RS256' }],
      [jwk, { alg: 'HS256' }],
      [jwk, { alg: 'none' }],
      [pem, { alg: 'ES384' }],
    ]
    for (const [key, options] of bad) {
      const error = thrown(() => privateKeyJwt(key as string, options))
      expectRefusal(error, { what: '', names: [], code: 'key_invalid' })
      expect(error.message).not.toMatch(/c2VjcmV0|PRIVATE KEY-----\n/)
      expect(error.message).not.toContain(String(jwk.d))
    }
  })

  for (const assertion of [undefined, null, {}, { type: 'a' }, { type: '', value: 'b' }, { type: 'a', value: 7 }]) {
    test(`M2 clientAssertion refuses ${JSON.stringify(assertion) ?? 'undefined'}`, () => {
      // @ts-expect-error not an assertion
      const error = thrown(() => clientAssertion(assertion))
      expectRefusal(error, { what: '', names: ['client assertion'], code: 'client_assertion_invalid' })
    })
  }
})

describe('M2 destinations', () => {
  const manager = createTokenManager({ clients: { catalog: { ...client, authentication: none() } } })
  const bad: readonly object[] = [
    {},
    { origins: [] },
    ...[
      '',
      '/v1',
      'api.example',
      'http://api.example',
      'https://u:pass-word@api.example',
      'https://a.example/?x',
      'https://a.example/#x',
      'ftp://a.example',
      7,
      null,
    ].map((baseUrl) => ({ baseUrl })),
    ...[
      '',
      'api.example',
      'http://api.example',
      'https://api.example/v1',
      'https://u:pass-word@api.example',
      'https://a.example?x',
      '*',
      7,
      null,
    ].map((origin) => ({ origins: ['https://fine.example', origin] })),
  ]
  for (const destination of bad) {
    test(`M2 ${JSON.stringify(destination)} is refused by authorizer and fetch`, () => {
      for (const make of [manager.authorizer, manager.fetch]) {
        // @ts-expect-error not always a destination
        const error = thrown(() => make('catalog', destination))
        expectRefusal(error, { what: '', names: ['client "catalog"', 'expected'], code: 'destination_invalid' })
        expect(error.message).not.toContain('pass-word')
      }
    })
  }

  for (const baseUrl of [
    'https://api.example',
    'https://api.example/v1',
    'http://127.0.0.1:1',
    'http://localhost',
    'http://[::1]:1',
  ]) {
    test(`M2 the base ${baseUrl} is fine`, () => {
      expect(manager.fetch('catalog', { baseUrl })).toBeTypeOf('function')
      expect(manager.fetch('catalog', { baseUrl: new URL(baseUrl) })).toBeTypeOf('function')
    })
  }
})

describe('M2 requests', () => {
  const bad: readonly (readonly [object, string])[] = [
    [{ scopes: 'a' }, 'scopes'],
    [{ scope: 'a  b' }, 'scope'],
    [{ resource: 'x' }, 'resource'],
    [{ resource: ['urn:a', 'urn:b#c'] }, 'resource'],
    [{ parameters: { client_secret: 'x' } }, 'client_secret'],
    [{ parameters: { a: null } }, 'parameters.a'],
    [{ partition: 7 }, 'partition'],
    [{ clientAssertion: { type: 'a' } }, 'client assertion'],
  ]
  for (const [request, name] of bad) {
    test(`M2 N8.01 ${JSON.stringify(request)} is refused before anything is sent`, async ({ manage, server }) => {
      const tokens = manage()
      const error = await rejection(tokens.getToken('api', request))
      expect(error.name).toBe('ConfigurationError')
      expect(error.message).toContain(name)
      expect(thrown(() => tokens.source('api', request)).message).toBe(error.message)
      expect(thrown(() => tokens.fetch('api', { origins: ['https://a.example'] }, request)).message).toBe(error.message)
      expect((await rejection(tokens.delete('api', request))).message).toBe(error.message)
      expect((await rejection(tokens.revoke('api', request))).message).toBe(error.message)
      expect(server.requests).toHaveLength(0)
    })
  }

  for (const request of [null, 'a', 7, []]) {
    test(`M2 ${JSON.stringify(request)} for a request is refused`, async ({ manage, server }) => {
      // @ts-expect-error not a request
      const error = await rejection(manage().getToken('api', request))
      expect(error).toMatchObject({ name: 'ConfigurationError', code: 'option_invalid' })
      expect(error.message).toContain('client "api", request')
      expect(server.requests).toHaveLength(0)
    })
  }
})
