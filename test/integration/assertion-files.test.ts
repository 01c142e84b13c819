import { rmSync, writeFileSync } from 'node:fs'
import { clientAssertion, createTokenManager, none } from 'evertoken'
import { type AssertionFileOptions, assertionFromFile, kubernetesServiceAccount, spiffeJwtSvid } from 'evertoken/node'
import { describe, expect } from 'vitest'
import { test } from '../support/files.ts'
import { rejection } from '../support/fixtures.ts'
import { jwtOf, START_SECONDS } from '../support/jwt-samples.ts'
import { SIGNING_ALGS, testKey } from '../support/keys.ts'

const JWT_BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const SECRET = 'a-secret-that-no-message-repeats'
const lasting = (members: Readonly<Record<string, unknown>> = {}): Promise<string> =>
  jwtOf({ sub: 'machine', exp: Math.floor(Date.now() / 1000) + 600, ...members })

describe('an assertion from a file', () => {
  for (const alg of SIGNING_ALGS) {
    test(`proves a client to a real authorization server, signed with ${alg}`, async ({ startProvider, file }) => {
      const { publicJwk } = await testKey(alg)
      const provider = await startProvider({
        clients: [
          { client_id: 'machine', token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [{ ...publicJwk }] } },
        ],
        resources: { 'urn:api': { scope: 'read', lifetimeSeconds: 60 } },
      })
      const now = Math.floor(Date.now() / 1000)
      const claims = { iss: 'machine', sub: 'machine', aud: provider.issuer, jti: alg, iat: now, exp: now + 60 }
      const path = file(`${await jwtOf(claims, alg)}\n`, 0o644)
      const authentication = clientAssertion(assertionFromFile(path))
      const tokens = createTokenManager({
        clients: { api: { issuer: provider.issuer, clientId: 'machine', authentication, scope: 'read' } },
      })
      expect((await tokens.getToken('api')).accessToken).toEqual(expect.any(String))
      expect(provider.assertions).toMatchObject([{ claims }])
      await tokens.close()
    })
  }

  test('is read for every attempt and not at all while a token is served from memory', async ({
    manage,
    server,
    file,
  }) => {
    const [first, second] = [await lasting({ n: 1 }), await lasting({ n: 2 })]
    const path = file(first)
    const tokens = manage({ authentication: clientAssertion(assertionFromFile(path)) })
    await tokens.getToken('api')
    // Whoever read it now would fail.
    rmSync(path)
    await tokens.getToken('api')
    await tokens.getToken('api')
    writeFileSync(path, second)
    await tokens.getToken('api', {}, { forceRenewal: true })
    expect(server.requests.map(({ form }) => form.get('client_assertion'))).toEqual([first, second])
  })

  test('serves the central service and a request parameter', async ({ manage, server, file }) => {
    const value = await lasting()
    const source = assertionFromFile(file(` ${value}\n`))
    await manage({ authentication: none() }, { clientAssertion: source }).getToken('api')
    await manage({ authentication: none() }).getToken('api', { clientAssertion: await source() })
    for (const { form } of server.requests) {
      expect(form.get('client_assertion')).toBe(value)
      expect(form.get('client_assertion_type')).toBe(JWT_BEARER)
    }
    expect(server.requests).toHaveLength(2)
  })

  test('is not sent after it has expired by the clock of the manager', async ({ manage, server, clock, file }) => {
    const path = file(await jwtOf({ exp: START_SECONDS + 60 }))
    const tokens = manage({ authentication: clientAssertion(assertionFromFile(path)) })
    await tokens.getToken('api')
    await clock.advance(60_000)
    expect(await rejection(tokens.getToken('api', {}, { forceRenewal: true }))).toMatchObject({
      code: 'assertion_expired',
      retryable: false,
      message: `file "${path}": expected an assertion that is valid, got one that expired 0 s ago`,
    })
    expect(server.requests).toHaveLength(1)
  })

  test('has the type of a JWT-SVID, or any other that it is given', async ({ file }) => {
    const path = file(await lasting())
    expect((await spiffeJwtSvid(path)()).type).toBe('urn:ietf:params:oauth:client-assertion-type:jwt-spiffe')
    expect((await kubernetesServiceAccount({ path })()).type).toBe(JWT_BEARER)
    const saml = 'urn:ietf:params:oauth:client-assertion-type:saml2-bearer'
    expect(await assertionFromFile(file('PHNhbWw+'), { type: saml })()).toEqual({ type: saml, value: 'PHNhbWw+' })
  })

  test('stops waiting for a file that is being written when the caller does', async ({ file }) => {
    const controller = new AbortController()
    const reading = assertionFromFile(file(''))({ signal: controller.signal })
    controller.abort(new Error('enough'))
    expect(await rejection(reading)).toMatchObject({ message: 'enough' })
  })

  test('F9.05 that is incomplete is waited for, and read when it is whole', async ({ file }) => {
    const jwt = await lasting()
    for (const part of [jwt.slice(0, 40), jwt.slice(0, -1), jwt.slice(0, -2), jwt.slice(0, jwt.lastIndexOf('.')), '']) {
      const path = file(part)
      const reading = assertionFromFile(path)()
      writeFileSync(path, jwt)
      expect((await reading).value).toBe(jwt)
    }
  })

  const broken = [
    { name: 'half a JWT', text: (jwt: string) => jwt.slice(0, 50) },
    { name: 'a JWT that lacks a character', text: (jwt: string) => jwt.slice(0, -1) },
    { name: 'a JWT that lacks some characters', text: (jwt: string) => jwt.slice(0, -4) },
    { name: 'two JWTs', text: (jwt: string) => `${jwt}\n${jwt}` },
    { name: 'another text', text: () => SECRET },
    { name: 'a header that is an array', text: (jwt: string) => jwt.replace(/^[^.]+/, 'W10') },
    { name: 'claims that are no JSON', text: (jwt: string) => jwt.replace(/\.[^.]+\./, '.AAAA.') },
  ]
  for (const { name, text } of broken) {
    test(`F9.05 with ${name} is a typed error that does not repeat it`, async ({ manage, server, file }) => {
      const jwt = await lasting()
      const path = file(text(jwt))
      const error = await rejection(
        manage({ authentication: clientAssertion(assertionFromFile(path)) }).getToken('api'),
      )
      expect(error).toMatchObject({ name: 'ConfigurationError', code: 'client_assertion_invalid' })
      expect(error.message).toBe(`file "${path}": expected a whole JWT, got another text`)
      expect(server.requests).toHaveLength(0)
    })
  }

  const options: readonly { readonly name: string; readonly path: unknown; readonly options?: unknown }[] = [
    { name: 'no path', path: undefined },
    { name: 'an empty path', path: '' },
    { name: 'a path with a NUL', path: 'a\0b' },
    { name: 'maxBytes of zero', path: 'a', options: { maxBytes: 0 } },
    { name: 'maxBytes that is no number', path: 'a', options: { maxBytes: '1' } },
    { name: 'maxBytes of a gigabyte', path: 'a', options: { maxBytes: 2 ** 30 } },
    { name: 'permissions that do not exist', path: 'a', options: { permissions: 'some' } },
    { name: 'an empty type', path: 'a', options: { type: '' } },
  ]
  for (const { name, path, options: given } of options) {
    test(`${name} throws at creation`, () => {
      expect(() => assertionFromFile(path as string, given as AssertionFileOptions)).toThrow(
        expect.objectContaining({ name: 'ConfigurationError', code: 'option_invalid' }),
      )
    })
  }
})
