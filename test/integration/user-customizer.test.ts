import type { TokenRequest } from 'evertoken'
import type { UserTokenManagerOptions } from 'evertoken/session'
import { describe, expect } from 'vitest'
import { rejection, test } from '../support/fixtures.ts'
import { createRotatingServer } from '../support/rotating-server.ts'
import { discoveringFleet, HOUR, type Manager, sharedPlace, type World, withMetadata } from '../support/user-fleet.ts'

type Options = Partial<UserTokenManagerOptions<Record<string, never>>>

/** Alice has signed in at a server that can revoke. */
async function signedIn({ server, clock }: World, options: Options) {
  const rotating = createRotatingServer()
  server.answer = withMetadata(server, rotating.answer)
  const [one, other] = discoveringFleet(sharedPlace(clock), { server, clock }, options) as [Manager, Manager]
  const alice = one.forSubject('web', 'alice')
  await alice.adopt(rotating.login('alice'))
  return { rotating, other, alice }
}

describe('U14 M17 the request customiser of users', () => {
  test('U14 is asked for each token, of a source, an authorizer and fetch, and for a revocation; what it gives is sent', async ({
    server,
    elsewhere,
    clock,
  }) => {
    const seen: unknown[] = []
    const { alice } = await signedIn(
      { server, clock },
      {
        customizeRequest: (asked) => {
          const { kind, clientName, request } = asked
          const where =
            kind === 'resource_request' ? [asked.method, asked.url.pathname, asked.headers.get('x-tenant')] : []
          seen.push([kind, clientName, request, ...where])
          return { ...request, parameters: { tenant: where[2] ?? kind } }
        },
      },
    )
    const source = alice.source({ scope: 'a' })
    for (const _ of [1, 2]) await source.getToken()
    const list = alice.fetch({ baseUrl: elsewhere.origin })
    for (const tenant of ['1', '2']) await list('list', { method: 'POST', headers: { 'x-tenant': tenant } })
    const authorizer = alice.authorizer({ baseUrl: elsewhere.origin }, { scope: 'b' })
    await authorizer.begin({ method: 'GET', url: new URL('one', elsewhere.origin) })
    await alice.revoke()
    await alice.signOut({ parameters: { mine: 'x' } })
    expect(seen).toEqual([
      ['token_request', 'web', { scope: 'a' }],
      ['token_request', 'web', { scope: 'a' }],
      ['resource_request', 'web', {}, 'POST', '/list', '1'],
      ['resource_request', 'web', {}, 'POST', '/list', '2'],
      ['resource_request', 'web', { scope: 'b' }, 'GET', '/one', null],
      ['revocation_request', 'web', {}],
      ['revocation_request', 'web', { parameters: { mine: 'x' } }],
    ])
    const sent = server.requests.filter(({ method }) => method === 'POST')
    expect(sent.map(({ url, form }) => [url, form.get('scope'), form.get('tenant')])).toEqual([
      ['/token', 'a', 'token_request'],
      ['/token', null, '1'],
      ['/token', null, '2'],
      ['/token', 'b', 'resource_request'],
      // The refresh token, and what is left when it is gone: access tokens.
      ['/revoke', null, 'revocation_request'],
      ...Array.from({ length: 5 }, () => ['/revoke', null, 'revocation_request']),
    ])
  })

  test('U14 sets what a token request may say: scope, resource, assertion, and what the assertion service is told', async ({
    server,
    clock,
  }) => {
    const type = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
    const requests: TokenRequest[] = [
      { scope: 'a', resource: 'urn:orders' },
      { clientAssertion: { type, value: 'own' } },
      { context: { tenant: '7' } },
    ]
    const { alice } = await signedIn(
      { server, clock },
      {
        clientAssertion: ({ request }) => request.context && { type, value: `for ${request.context.tenant}` },
        customizeRequest: ({ kind }) =>
          kind === 'revocation_request' ? { context: { tenant: '8' } } : (requests.shift() ?? {}),
      },
    )
    const source = alice.source()
    // The last one is asked for the sake of the service: the same token again would need no request.
    for (const forceRenewal of [false, true, true]) await source.getToken({ forceRenewal })
    await alice.revoke()
    const sent = server.requests.filter(({ method }) => method === 'POST')
    expect(sent.map(({ form }) => [form.get('scope'), form.get('resource'), form.get('client_assertion')])).toEqual([
      ['a', 'urn:orders', null],
      [null, null, 'own'],
      [null, null, 'for 7'],
      [null, null, 'for 8'],
    ])
  })

  const FAULTS: readonly { readonly name: string; readonly customizeRequest: () => never; readonly code: string }[] = [
    {
      name: 'throws',
      customizeRequest: () => {
        throw new Error('no tenant')
      },
      code: 'customizer_failed',
    },
    {
      name: 'rejects',
      customizeRequest: () => Promise.reject(new Error('no tenant')) as never,
      code: 'customizer_failed',
    },
    { name: 'gives no request', customizeRequest: () => 7 as never, code: 'option_invalid' },
    { name: 'names what there is not', customizeRequest: () => ({ tenant: '7' }) as never, code: 'option_unknown' },
    {
      name: 'gives what the library sends itself',
      customizeRequest: () => ({ parameters: { token: 'x' } }) as never,
      code: 'parameter_reserved',
    },
  ]
  for (const { name, customizeRequest, code } of FAULTS) {
    test(`U14 F4.09 one that ${name}: a typed error for that call, nothing is sent, and nothing has ended`, async ({
      server,
      elsewhere,
      clock,
    }) => {
      const { alice } = await signedIn({ server, clock }, { customizeRequest })
      const failures = [
        alice.source().getToken(),
        alice.fetch({ baseUrl: elsewhere.origin })('list'),
        alice.revoke(),
        alice.signOut(),
      ].map(rejection)
      for (const error of await Promise.all(failures)) expect(error).toMatchObject({ name: 'ConfigurationError', code })
      expect([...server.requests, ...elsewhere.requests]).toEqual([])
      expect(await alice.read()).toMatchObject({ subject: 'alice', endedBecause: undefined })
    })
  }

  test('U14 one that never ends: the caller may leave', async ({ server, clock }) => {
    const { alice } = await signedIn({ server, clock }, { customizeRequest: () => new Promise<never>(() => {}) })
    const abort = new AbortController()
    const left = rejection(alice.source().getToken({ signal: abort.signal }))
    abort.abort(new Error('enough'))
    expect((await left).message).toBe('enough')
  })

  test('U14 a mistake in the request itself is told by `source` and `authorizer`, before anybody is asked', async ({
    server,
    clock,
  }) => {
    const { alice } = await signedIn({ server, clock }, { customizeRequest: ({ request }) => request })
    const wrong = { scopes: 'a' } as never
    expect(() => alice.source(wrong)).toThrow(/"scopes"/)
    expect(() => alice.authorizer({ baseUrl: server.origin }, wrong)).toThrow(/"scopes"/)
  })

  const LATE = [
    { name: 'is asked for the revocation, too', fails: false, told: ['revocation_request'], failures: [] },
    {
      name: 'and its failure there is an event',
      fails: true,
      told: [],
      failures: [{ name: 'revocation_failed', client: 'web', error: 'customizer_failed' }],
    },
  ]
  for (const { name, fails, told, failures } of LATE) {
    test(`U14 U9 a sign-out overtakes a refresh: the customiser ${name}`, async ({ server, clock, recorder }) => {
      let isBroken = false
      const { alice, other, rotating } = await signedIn(
        { server, clock },
        {
          telemetry: recorder,
          customizeRequest: ({ kind, request }) => {
            if (isBroken) throw new Error('no tenant')
            return { ...request, parameters: { kind } }
          },
        },
      )
      await clock.advance(HOUR)
      server.answer = withMetadata(server, async (request) => {
        const answer = await rotating.answer(request)
        if (request.url !== '/token') return answer
        await other.forSubject('web', 'alice').signOut()
        isBroken = fails
        return answer
      })
      expect(await rejection(alice.source().getToken())).toMatchObject({ reason: 'signed_out' })
      const late = server.requests.filter(({ form }) => form.get('token') === 'refresh-alice-1')
      expect(late.map(({ form }) => form.get('kind'))).toEqual(told)
      expect(recorder.events.filter((event) => event.name === 'revocation_failed')).toEqual(failures)
    })
  }
})
