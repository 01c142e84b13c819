import { writeFileSync } from 'node:fs'
import { clientAssertion } from 'evertoken'
import { azureWorkloadIdentity, githubActions, gitlabCi } from 'evertoken/node'
import { describe, expect } from 'vitest'
import { test } from '../support/files.ts'
import { rejection } from '../support/fixtures.ts'
import type { Handler, SeenRequest } from '../support/hostile-server.ts'
import { jwtOf, START_SECONDS } from '../support/jwt-samples.ts'

const SECRET = 'a-secret-that-no-message-repeats'
const GIVEN = { iss: 'https://platform.example', sub: 'job', iat: START_SECONDS, exp: START_SECONDS + 300 }
const onceOnly: Handler = async ({ n }) => ({
  body: JSON.stringify({ value: await jwtOf({ ...GIVEN, jti: String(n) }) }),
})
const queryOf = ({ url }: SeenRequest): Record<string, string> =>
  Object.fromEntries(new URL(url, 'http://any').searchParams)

describe('githubActions', () => {
  const environment = (origin: string): Record<string, string | undefined> => ({
    ACTIONS_ID_TOKEN_REQUEST_URL: `${origin}/idtoken?api-version=2.0`,
    ACTIONS_ID_TOKEN_REQUEST_TOKEN: SECRET,
  })

  test('asks for a token that is addressed to the issuer, once for each attempt', async ({
    manage,
    server,
    elsewhere,
  }) => {
    elsewhere.answer = onceOnly
    const authentication = clientAssertion(githubActions({ env: environment(elsewhere.origin) }))
    const tokens = manage({ issuer: 'https://as.example', authentication })
    await tokens.getToken('api')
    await tokens.getToken('api')
    await tokens.getToken('api', {}, { forceRenewal: true })
    expect(elsewhere.requests).toHaveLength(2)
    expect(elsewhere.requests.map(queryOf)[0]).toEqual({ 'api-version': '2.0', audience: 'https://as.example' })
    expect(elsewhere.requests[0]?.headers.authorization).toBe(`Bearer ${SECRET}`)
    expect(server.requests).toHaveLength(2)
  })

  test('reads the environment at each use', async ({ elsewhere, clock }) => {
    elsewhere.answer = onceOnly
    const env: Record<string, string | undefined> = {}
    const source = githubActions({ env, clock, audience: 'api://AzureADTokenExchange' })
    const missing = await rejection(source())
    expect(missing).toMatchObject({
      code: 'environment_incomplete',
      message: 'environment: expected ACTIONS_ID_TOKEN_REQUEST_URL to be set, got none',
    })
    Object.assign(env, environment(elsewhere.origin), { ACTIONS_ID_TOKEN_REQUEST_TOKEN: '' })
    expect((await rejection(source())).message).toContain('ACTIONS_ID_TOKEN_REQUEST_TOKEN')
    Object.assign(env, environment(elsewhere.origin))
    await source()
    env.ACTIONS_ID_TOKEN_REQUEST_TOKEN = 'another'
    await source()
    expect(elsewhere.requests.map(({ headers }) => headers.authorization)).toEqual([
      `Bearer ${SECRET}`,
      'Bearer another',
    ])
    expect(queryOf(elsewhere.requests[0] as SeenRequest).audience).toBe('api://AzureADTokenExchange')
  })

  test('without issuer and audience is a typed error', async ({ elsewhere }) => {
    expect(await rejection(githubActions({ env: environment(elsewhere.origin) })())).toMatchObject({
      code: 'assertion_options_invalid',
    })
    expect(elsewhere.requests).toHaveLength(0)
  })
})

describe('gitlabCi', () => {
  test('sends the token of the variable, as it is at each use', async ({ manage, server }) => {
    const env: Record<string, string> = { STS_TOKEN: `${await jwtOf({ ...GIVEN, n: 1 })}\n` }
    const tokens = manage({ authentication: clientAssertion(gitlabCi('STS_TOKEN', { env })) })
    await tokens.getToken('api')
    const next = await jwtOf({ ...GIVEN, n: 2 })
    env.STS_TOKEN = next
    await tokens.getToken('api', {}, { forceRenewal: true })
    expect(server.requests[1]?.form.get('client_assertion')).toBe(next)
  })

  const faulty = [
    { name: 'a variable that is not set', text: async () => undefined, code: 'environment_incomplete' },
    { name: 'an empty variable', text: async () => '', code: 'environment_incomplete' },
    { name: 'another text', text: async () => SECRET, code: 'client_assertion_invalid' },
    { name: 'an expired token', text: () => jwtOf({ ...GIVEN, exp: START_SECONDS }), code: 'assertion_expired' },
  ]
  for (const { name, text, code } of faulty) {
    test(`with ${name} is a typed error that names the variable`, async ({ clock }) => {
      const error = await rejection(gitlabCi('STS_TOKEN', { env: { STS_TOKEN: await text() }, clock })())
      expect(error).toMatchObject({ name: 'ConfigurationError', code })
      expect(error.message).toContain('STS_TOKEN')
      expect(error.message).not.toContain(SECRET)
    })
  }
})

describe('azureWorkloadIdentity', () => {
  const tenant = '11111111-2222-3333-4444-555555555555'
  const complete = {
    AZURE_TENANT_ID: tenant,
    AZURE_CLIENT_ID: 'aaaa',
    AZURE_FEDERATED_TOKEN_FILE: '/var/run/secrets/azure/tokens/azure-identity-token',
  }

  const hosts = [
    { name: 'the public cloud by default', host: undefined, origin: 'https://login.microsoftonline.com' },
    {
      name: 'an authority host',
      host: 'https://login.microsoftonline.us/',
      origin: 'https://login.microsoftonline.us',
    },
    { name: 'one without slash', host: 'https://login.microsoftonline.us', origin: 'https://login.microsoftonline.us' },
  ]
  for (const { name, host, origin } of hosts) {
    test(`is issued by ${name}`, () => {
      expect(azureWorkloadIdentity({ ...complete, AZURE_AUTHORITY_HOST: host })).toMatchObject({
        issuer: `${origin}/${tenant}/v2.0`,
        clientId: 'aaaa',
      })
    })
  }

  test('sends the token of the file, read for each attempt', async ({ manage, server, file }) => {
    const [first, second] = [await jwtOf({ ...GIVEN, n: 1 }), await jwtOf({ ...GIVEN, n: 2 })]
    const path = file(first, 0o644)
    const tokens = manage(azureWorkloadIdentity({ ...complete, AZURE_FEDERATED_TOKEN_FILE: path }))
    await tokens.getToken('api')
    writeFileSync(path, second)
    await tokens.getToken('api', {}, { forceRenewal: true })
    expect(server.requests.map(({ form }) => form.get('client_assertion'))).toEqual([first, second])
    expect(server.requests[0]?.form.get('client_id')).toBe('aaaa')
  })

  for (const variable of Object.keys(complete)) {
    test(`without ${variable} is a typed error that names it`, () => {
      expect(() => azureWorkloadIdentity({ ...complete, [variable]: undefined })).toThrow(
        expect.objectContaining({
          code: 'environment_incomplete',
          message: `environment: expected ${variable} to be set, got none`,
        }),
      )
    })
  }
})
