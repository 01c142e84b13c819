import { clientAssertion, clientSecretJwt, clientSecretPost, privateKeyJwt } from 'evertoken'
import { decodeJwt } from 'jose'
import { describe, expect } from 'vitest'
import { rejection, test } from '../support/fixtures.ts'
import { type Answer, type Handler, type SeenRequest, tokenJson } from '../support/hostile-server.ts'
import { testKey } from '../support/keys.ts'
import type { TestClock } from '../support/test-clock.ts'

const JWT_BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const SECRET = 'a secret of sixty-four bytes, which is enough for any of the hashes'
const issued = { issuer: 'https://as.example' }
const { pem } = await testKey('ES256')

const claimsOf = ({ form }: SeenRequest) => decodeJwt(form.get('client_assertion') ?? '')

/** A server whose clock is ahead, and which takes assertions for their own time only. */
function serverAhead(clock: TestClock, aheadMs: number, { toleranceMs = 0, description = '' } = {}): Handler {
  return (request) => {
    const now = clock.wallTime() + aheadMs
    const { iat = 0, exp = 0 } = claimsOf(request)
    const isGood = iat * 1000 <= now + toleranceMs && now < exp * 1000 + toleranceMs
    return dated(isGood ? tokenJson()(request) : refusal(description), now)
  }
}

function refusal(description: string): Answer {
  return {
    status: 401,
    body: JSON.stringify({ error: 'invalid_client', ...(description !== '' && { error_description: description }) }),
  }
}

function dated(answer: unknown, at: number): Answer {
  return { ...(answer as object), headers: { date: new Date(at).toUTCString() } }
}

const ways = [
  { name: 'privateKeyJwt', authentication: () => privateKeyJwt(pem) },
  { name: 'clientSecretJwt', authentication: () => clientSecretJwt(SECRET) },
]

describe('A10 the server’s clock', () => {
  const clocks = [
    { name: '90 s behind', aheadMs: -90_000 },
    { name: '90 s ahead', aheadMs: 90_000 },
    { name: '10 s behind, with no tolerance', aheadMs: -10_000 },
    { name: 'a year ahead', aheadMs: 365 * 24 * 60 * 60 * 1000 },
  ]
  for (const { name: way, authentication } of ways) {
    for (const { name, aheadMs } of clocks) {
      test(`A10 N2.09 ${way}: a server whose clock is ${name} costs one more request, once`, async ({
        manage,
        server,
        clock,
        recorder,
      }) => {
        server.answer = serverAhead(clock, aheadMs)
        const tokens = manage({ ...issued, authentication: authentication() })
        await tokens.getToken('api')
        expect(server.requests).toHaveLength(2)
        const [first, second] = server.requests.map(claimsOf)
        expect(second?.jti).not.toBe(first?.jti)
        expect(Math.abs(Number(second?.iat) - Number(first?.iat) - aheadMs / 1000)).toBeLessThanOrEqual(1)
        // The offset is remembered.
        await tokens.getToken('api', {}, { forceRenewal: true })
        expect(server.requests).toHaveLength(3)
        const skews = recorder.events.filter(({ name }) => name === 'clock_skew')
        expect(skews).toEqual([{ name: 'clock_skew', client: 'api', skewMs: expect.any(Number) }])
        expect(Math.abs(Number(Object(skews[0]).skewMs) - aheadMs)).toBeLessThan(1000)
      })
    }
  }

  test('A10 a server up to five seconds behind takes the first assertion: iat is back-dated', async ({
    manage,
    server,
    clock,
  }) => {
    server.answer = serverAhead(clock, -5000)
    await manage({ ...issued, authentication: privateKeyJwt(pem) }).getToken('api')
    expect(server.requests).toHaveLength(1)
    const { iat = 0, exp = 0 } = claimsOf(server.requests[0] as SeenRequest)
    expect(iat).toBe(clock.wallTime() / 1000 - 5)
    expect(exp - iat).toBe(60)
  })

  test('A10 back-dating can be set', async ({ manage, server, clock }) => {
    await manage({ ...issued, authentication: privateKeyJwt(pem, { backdateSeconds: 0 }) }).getToken('api')
    expect(claimsOf(server.requests[0] as SeenRequest).iat).toBe(clock.wallTime() / 1000)
  })

  test('A10 a clock that is set right while the server’s is followed is followed too', async ({
    manage,
    server,
    clock,
  }) => {
    let aheadMs = 90_000
    server.answer = (request) => serverAhead(clock, aheadMs)(request)
    const tokens = manage({ ...issued, authentication: privateKeyJwt(pem) })
    await tokens.getToken('api')
    aheadMs = 0
    await tokens.getToken('api', {}, { forceRenewal: true })
    await tokens.getToken('api', {}, { forceRenewal: true })
    // One more request when the clocks agree again, and none from then on.
    expect(server.requests).toHaveLength(5)
    const last = server.requests.at(-1) as SeenRequest
    expect(Number(claimsOf(last).iat)).toBe(clock.wallTime() / 1000 - 5)
  })

  test('A10 a Date that is wrong spoils nothing while the server takes the assertions', async ({
    manage,
    server,
    clock,
  }) => {
    server.answer = (request) => dated(tokenJson()(request), clock.wallTime() + 3_600_000)
    const tokens = manage({ ...issued, authentication: privateKeyJwt(pem) })
    await tokens.getToken('api')
    await tokens.getToken('api', {}, { forceRenewal: true })
    expect(claimsOf(server.requests[1] as SeenRequest).iat).toBe(clock.wallTime() / 1000 - 5)
  })

  const words = ['JWT not yet valid', 'assertion expired', 'Client assertion is not within its valid time range']
  for (const description of words) {
    test(`A10 "${description}" is worth one more assertion, and no second one`, async ({ manage, server, clock }) => {
      server.answer = () => dated(refusal(description), clock.wallTime())
      const error = await rejection(manage({ ...issued, authentication: privateKeyJwt(pem) }).getToken('api'))
      expect(error).toMatchObject({ error: 'invalid_client', code: 'client_refused' })
      expect(server.requests).toHaveLength(2)
    })
  }

  test('A10 a client secret that has expired is no question of clocks', async ({ manage, server, clock }) => {
    server.answer = () => dated(refusal('the client secret is expired'), clock.wallTime())
    await rejection(manage({ ...issued, authentication: clientSecretJwt(SECRET) }).getToken('api'))
    expect(server.requests).toHaveLength(1)
  })

  test('A10 a plain refusal by a server with the same clock is not tried again', async ({ manage, server, clock }) => {
    server.answer = () => dated(refusal(''), clock.wallTime())
    await rejection(manage({ ...issued, authentication: privateKeyJwt(pem) }).getToken('api'))
    expect(server.requests).toHaveLength(1)
  })

  for (const aheadMs of [90_000, -90_000]) {
    test(`A10 N2.09 an assertion made elsewhere is not tried again; the skew of ${aheadMs} ms is in the error`, async ({
      manage,
      server,
      clock,
      recorder,
    }) => {
      server.answer = () => dated(refusal(''), clock.wallTime() + aheadMs)
      const authentication = clientAssertion({ type: JWT_BEARER, value: 'made.else.where' })
      const error = await rejection(manage({ ...issued, authentication }).getToken('api'))
      expect(error).toMatchObject({ code: 'clock_skew', error: 'invalid_client', retryable: false })
      expect(Math.abs(Number(error.clockSkewMs) - aheadMs)).toBeLessThan(1000)
      expect(error.message).toContain(`${Math.abs(Math.round(Number(error.clockSkewMs) / 1000))} s`)
      expect(server.requests).toHaveLength(1)
      expect(recorder.events).toContainEqual({ name: 'clock_skew', client: 'api', skewMs: error.clockSkewMs })
    })
  }

  test('A10 N2.09 the skew is in the error of a server that refuses its own time too', async ({
    manage,
    server,
    clock,
  }) => {
    server.answer = () => dated(refusal(''), clock.wallTime() + 90_000)
    const error = await rejection(manage({ ...issued, authentication: privateKeyJwt(pem) }).getToken('api'))
    // The dates were right the second time, so they are not what the code names.
    expect(error).toMatchObject({ code: 'client_refused', error: 'invalid_client' })
    expect(Math.abs(Number(error.clockSkewMs) - 90_000)).toBeLessThan(1000)
    expect(server.requests).toHaveLength(2)
  })

  test('N2.09 a secret has no clock: a refusal is a refusal', async ({ manage, server, clock }) => {
    server.answer = () => dated(refusal(''), clock.wallTime() + 90_000)
    const tokens = manage({ authentication: clientSecretPost('the own secret') })
    expect((await rejection(tokens.getToken('api'))).code).toBe('client_refused')
  })
})

describe('A10 a clock that is followed in vain', () => {
  test('A10 a Date that is wrong, on refusals for another reason, does not spoil what comes when the reason is gone', async ({
    manage,
    server,
    clock,
  }) => {
    let knowsKey = false
    server.answer = (request) => {
      const { iat = 0, exp = 0 } = claimsOf(request)
      const isDatedWell = iat * 1000 <= clock.wallTime() && clock.wallTime() < exp * 1000
      const answer = knowsKey && isDatedWell ? tokenJson()(request) : refusal('')
      return dated(answer, clock.wallTime() + 3_600_000)
    }
    const tokens = manage({ ...issued, authentication: privateKeyJwt(pem) })
    for (let call = 0; call < 5; call++) await rejection(tokens.getToken('api', {}, { forceRenewal: true }))
    knowsKey = true
    await tokens.getToken('api', {}, { forceRenewal: true })
    // By this machine's clock at once, and for as long as the header stays wrong.
    expect(server.requests).toHaveLength(11)
    await tokens.getToken('api', {}, { forceRenewal: true })
    expect(server.requests).toHaveLength(12)
  })

  test('A10 a clock whose time was accepted is followed on through other refusals', async ({
    manage,
    server,
    clock,
  }) => {
    let isKnown = true
    server.answer = (request) => {
      const answer = isKnown ? serverAhead(clock, 90_000)(request) : dated(refusal(''), clock.wallTime() + 90_000)
      return answer
    }
    const tokens = manage({ ...issued, authentication: privateKeyJwt(pem) })
    await tokens.getToken('api')
    isKnown = false
    for (let call = 0; call < 6; call++) await rejection(tokens.getToken('api', {}, { forceRenewal: true }))
    isKnown = true
    const from = server.requests.length
    await tokens.getToken('api', {}, { forceRenewal: true })
    expect(server.requests.length - from).toBe(1)
  })
})
