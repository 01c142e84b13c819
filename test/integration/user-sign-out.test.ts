import { clientAssertion, type TokenRequest } from 'evertoken'
import { createUserTokenManager } from 'evertoken/session'
import { describe, expect } from 'vitest'
import { createJar, type Jar } from '../support/carried-jar.ts'
import { clientOf, rejection, test } from '../support/fixtures.ts'
import { type Answer, errorJson, hang, reset } from '../support/hostile-server.ts'
import { createRotatingServer } from '../support/rotating-server.ts'
import { createTestClock, settle } from '../support/test-clock.ts'
import {
  createGate,
  discoveringFleet,
  fleetAt,
  type Gate,
  HOUR,
  type Manager,
  nextPost,
  refreshes,
  type SharedPlace,
  type Step,
  sharedPlace,
  textOf,
  type World,
  whileTimePasses,
  withMetadata,
} from '../support/user-fleet.ts'

/** Requests that are never too late, for tests in which time passes in steps. */
const PATIENT = { deadlineMs: 1e9 }

interface SignedIn {
  readonly rotating: ReturnType<typeof createRotatingServer>
  readonly place: SharedPlace
  readonly fleet: readonly Manager[]
}

/** Alice has signed in, and her access token has expired. */
async function signedIn(world: World, options: Parameters<typeof discoveringFleet>[2] = {}): Promise<SignedIn> {
  const { server, clock } = world
  const rotating = createRotatingServer()
  server.answer = withMetadata(server, rotating.answer)
  const place = sharedPlace(clock)
  const fleet = discoveringFleet(place, world, options)
  await fleet[0]?.forSubject('web', 'alice').adopt(rotating.login('alice'))
  await clock.advance(HOUR)
  return { rotating, place, fleet }
}

/** Alice has signed in with a browser that carries her session. */
async function carriedIn(world: World): Promise<SignedIn & { readonly jar: Jar }> {
  const { server, clock } = world
  const rotating = createRotatingServer()
  server.answer = withMetadata(server, rotating.answer)
  const place = sharedPlace(clock)
  const fleet = discoveringFleet(place, world, PATIENT)
  const jar = createJar('browser')
  const signIn = jar.request()
  await fleet[0]?.forSession('web', signIn).adopt(rotating.login('alice'))
  signIn.respond()
  return { rotating, place, fleet, jar }
}

/** Whoever comes to a step first waits there. */
function stopOnce(place: SharedPlace, at: Step): { readonly reached: Gate; readonly goOn: Gate } {
  const [reached, goOn] = [createGate(), createGate()]
  let isFirst = true
  place.reach = (step) => {
    if (step !== at || !isFirst) return undefined
    isFirst = false
    reached.open()
    return goOn.opened
  }
  return { reached, goOn }
}

describe('N3 revocation', () => {
  test('N3.01 U9 refresh token and access token are told in the body, with hints, by a client that authenticates', async ({
    server,
    clock,
  }) => {
    const { fleet } = await signedIn({ server, clock })
    const [one] = fleet as [Manager]
    await textOf(one, 'alice')
    await one.forSubject('web', 'alice').signOut()
    const told = server.requests.filter(({ url }) => url.startsWith('/revoke'))
    expect(told.map(({ method, url, form }) => [method, url, form.get('token'), form.get('token_type_hint')])).toEqual([
      ['POST', '/revoke', 'refresh-alice-1', 'refresh_token'],
      ['POST', '/revoke', 'access-alice-1', 'access_token'],
    ])
    for (const { headers } of told) expect(headers.authorization).toMatch(/^Basic /)
  })

  test('N3.01 an endpoint that is not https is refused, and the session ends all the same', async ({
    server,
    clock,
    recorder,
  }) => {
    const rotating = createRotatingServer()
    server.answer = (request) => {
      if (request.method !== 'GET') return rotating.answer(request)
      const metadata = { issuer: server.origin, token_endpoint: server.tokenEndpoint }
      return { body: JSON.stringify({ ...metadata, revocation_endpoint: 'http://as.example/revoke' }) }
    }
    const [one] = discoveringFleet(sharedPlace(clock), { server, clock }, { telemetry: recorder }) as [Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await one.forSubject('web', 'alice').signOut()
    expect(await rejection(textOf(one, 'alice'))).toMatchObject({ reason: 'signed_out' })
    expect(recorder.events.map(({ name }) => name)).toContain('revocation_failed')
    expect(rotating.revoked).toEqual([])
  })

  const OUTCOMES: readonly { readonly name: string; readonly answer: Answer; readonly isTold: boolean }[] = [
    { name: 'N3.02 200 for a token that it does not know', answer: { status: 200, body: '' }, isTold: false },
    { name: 'N3.04 400 unsupported_token_type', answer: errorJson(400, 'unsupported_token_type'), isTold: true },
    { name: '400 invalid_client', answer: errorJson(401, 'invalid_client'), isTold: true },
    { name: '404', answer: { status: 404, body: '' }, isTold: true },
  ]
  for (const { name, answer, isTold } of OUTCOMES) {
    test(`${name}: the session ends here and elsewhere, ${isTold ? 'and an event tells' : 'and that is all'}`, async ({
      server,
      clock,
      recorder,
    }) => {
      const { fleet, rotating } = await signedIn({ server, clock }, { telemetry: recorder })
      const [one, other] = fleet as [Manager, Manager]
      await textOf(one, 'alice')
      server.answer = withMetadata(server, (request) => (request.url === '/revoke' ? answer : rotating.answer(request)))
      await one.forSubject('web', 'alice').signOut()
      for (const manager of [one, other]) {
        expect(await rejection(textOf(manager, 'alice'))).toMatchObject({ name: 'SessionError' })
      }
      const failures = recorder.events.filter((event) => event.name === 'revocation_failed')
      expect(failures.length > 0).toBe(isTold)
      // The refresh token first, and the access token whatever came of it.
      const told = server.requests.filter(({ url }) => url === '/revoke')
      expect(told.map(({ form }) => form.get('token'))).toEqual(['refresh-alice-1', 'access-alice-1'])
    })
  }

  test('N3.03 U9 503 with Retry-After: the session ends at once, the refresh token is told again behind it', async ({
    server,
    clock,
    recorder,
  }) => {
    const { fleet, rotating } = await signedIn({ server, clock }, { telemetry: recorder, ...PATIENT })
    const [one] = fleet as [Manager]
    await textOf(one, 'alice')
    let isDown = true
    server.answer = withMetadata(server, (request) =>
      isDown ? { status: 503, headers: { 'retry-after': '2' }, body: '' } : rotating.answer(request),
    )
    await one.forSubject('web', 'alice').signOut()
    expect(await rejection(textOf(one, 'alice'))).toMatchObject({ reason: 'signed_out' })
    expect(rotating.isAlive('alice')).toBe(true)
    isDown = false
    const again = nextPost(server, '/revoke')
    await clock.advance(2000)
    await again
    while (rotating.isAlive('alice')) await settle()
    expect(recorder.events.map(({ name }) => name)).not.toContain('revocation_failed')
  })

  test('N3.03 U9 503 for hours: a bounded number of tries, and an event at the end', async ({
    server,
    clock,
    recorder,
  }) => {
    const { fleet, rotating } = await signedIn({ server, clock }, { telemetry: recorder, ...PATIENT })
    const [one] = fleet as [Manager]
    await textOf(one, 'alice')
    server.answer = withMetadata(server, () => ({ status: 503, body: '' }))
    await one.forSubject('web', 'alice').signOut()
    while (recorder.events.every(({ name }) => name !== 'revocation_failed')) await clock.advance(1000)
    const tries = server.requests.filter(
      ({ url, form }) => url === '/revoke' && form.get('token') === 'refresh-alice-1',
    )
    expect(tries.length).toBeGreaterThan(1)
    expect(tries.length).toBeLessThanOrEqual(5)
    expect(recorder.events).toContainEqual(expect.objectContaining({ name: 'revocation_failed', client: 'web' }))
    expect(rotating.revoked).toEqual([])
  })

  test.for([
    { name: 'hangs', answer: hang },
    { name: 'cuts the connection', answer: reset },
  ])(
    'U9 the server $name: sign-out ends within the deadline, and the session is over',
    async ({ answer }, { server, clock }) => {
      const { fleet, rotating } = await signedIn({ server, clock }, { deadlineMs: 5000 })
      const [one, other] = fleet as [Manager, Manager]
      await textOf(one, 'alice')
      server.answer = withMetadata(server, (request) => (request.url === '/revoke' ? answer : rotating.answer(request)))
      const told = nextPost(server, '/revoke')
      const done = one.forSubject('web', 'alice').signOut()
      await told
      expect(await rejection(textOf(other, 'alice'))).toMatchObject({ name: 'SessionError' })
      const began = clock.now()
      await whileTimePasses(clock, done)
      expect(clock.now() - began).toBeLessThanOrEqual(10_100)
    },
  )

  test('U9 U14 a static assertion and the central service prove the client for refresh and revocation too', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = withMetadata(server, rotating.answer)
    const type = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
    const seen: unknown[] = []
    const web = clientOf(server, {
      issuer: server.origin,
      tokenEndpoint: undefined,
      authentication: clientAssertion({ type, value: 'static' }),
      parameters: { tenant: '1' },
    })
    const tokens = createUserTokenManager({
      clock,
      subjects: sharedPlace(clock).sessions,
      clients: { web },
      clientAssertion: ({ request }) => {
        seen.push(request.context?.who)
        return request.context === undefined ? undefined : { type, value: `for ${request.context.who}` }
      },
    })
    const alice = tokens.forSubject('web', 'alice')
    await alice.adopt(rotating.login('alice'))
    const own: TokenRequest = { clientAssertion: { type, value: 'own' } }
    for (const request of [undefined, { context: { who: 'ann' } }, own]) {
      await alice.source(request).getToken({ forceRenewal: true })
    }
    await alice.signOut({ context: { who: 'cyd' } })
    expect(
      server.requests
        .filter(({ method }) => method === 'POST')
        .map(({ url, form }) => [url, form.get('client_assertion'), form.get('tenant')]),
    ).toEqual([
      ['/token', 'static', '1'],
      ['/token', 'for ann', '1'],
      ['/token', 'own', '1'],
      ['/revoke', 'for cyd', null],
      ['/revoke', 'for cyd', null],
    ])
    expect(seen).toContain('ann')
  })
})

describe('F5.13 N3.05 U9 sign-out and revocation while another process refreshes', () => {
  /** Where a refresh is when the other process ends the session: what it does outside of its process, in order. */
  const POINTS: readonly { readonly point: string; readonly step?: Step; readonly on?: 'request' | 'commit' }[] = [
    { point: 'before it looks for a successor', step: 'before look' },
    { point: 'before it has its turn', step: 'turn' },
    { point: 'before it reads again', step: 'before load' },
    { point: 'after it has read again', step: 'after load' },
    { point: 'before its intent', step: 'before intent' },
    { point: 'after its intent', step: 'after intent' },
    { point: 'when the request has come in', on: 'request' },
    { point: 'when the server has committed', on: 'commit' },
    { point: 'before its set is saved', step: 'before save' },
    { point: 'when its set was saved', step: 'after save' },
    { point: 'before the successor is told', step: 'before successor' },
    { point: 'when the successor was told', step: 'after successor' },
    { point: 'before the intent is taken back', step: 'before forget' },
    { point: 'when the intent was taken back', step: 'after forget' },
  ]
  for (const end of ['signOut', 'revoke'] as const) {
    for (const order of ['the refresh goes on when it is over', 'the refresh goes on while it is under way'] as const) {
      test.for(POINTS)(
        `F5.13 N3.05 ${end} $point, ${order}: the session stays dead, and so does its last refresh token`,
        async ({ step, on }, { server, clock }) => {
          const { rotating, place, fleet } = await signedIn({ server, clock }, PATIENT)
          const [one, other] = fleet as [Manager, Manager]
          const reached = createGate()
          const goesOn = createGate()
          // The first process is the one that stops there, once.
          let isArmed = true
          const stopAt = async (): Promise<void> => {
            isArmed = false
            reached.open()
            await goesOn.opened
          }
          // It has loaded its session before, so that what it does is the refresh.
          const refreshing = one.forSubject('web', 'alice')
          await refreshing.read()
          if (step !== undefined) place.reach = (now) => (isArmed && now === step ? stopAt() : undefined)
          server.answer = withMetadata(server, async (request) => {
            const isRefresh = request.url === '/token'
            if (isRefresh && isArmed && on === 'request') await stopAt()
            const answer = await rotating.answer(request)
            if (isRefresh && isArmed && on === 'commit') await stopAt()
            return answer
          })
          const got = refreshing
            .source()
            .getToken()
            .then(
              ({ accessToken }) => accessToken,
              (error) => error,
            )
          await reached.opened
          const ending = other.forSubject('web', 'alice')[end]()
          if (order === 'the refresh goes on while it is under way') goesOn.open()
          else await endOrWait(ending, goesOn, clock)
          await whileTimePasses(clock, ending)
          const result = await whileTimePasses(clock, got)
          await whileTimePasses(clock, Promise.all(fleet.map((manager) => manager.close())))
          expect(rotating.isAlive('alice'), `refresh: ${String(result)}`).toBe(false)
          expect(rotating.reuses).toBe(0)
          // Nobody finds the session again, neither those who had it nor those who begin.
          const later = discoveringFleet(place, { server, clock })
          await clock.advance(HOUR)
          for (const manager of later.slice(0, 2)) {
            expect(await rejection(textOf(manager, 'alice'))).toMatchObject({ name: 'SessionError' })
          }
          // And whoever signs in again has a session.
          await later[0]?.forSubject('web', 'alice').adopt(rotating.login('alice'))
          for (const manager of later.slice(0, 2)) expect(await textOf(manager, 'alice')).toBe('access-alice-0')
        },
      )
    }
  }

  const STEPS_OF_AN_END = [
    'before load',
    'after load',
    'before end mark',
    'after end mark',
    'before save',
    'after save',
  ] as const
  for (const end of ['signOut', 'revoke'] as const) {
    test.for(STEPS_OF_AN_END.filter((step) => end === 'signOut' || !step.includes('mark')))(
      `F5.13 N3.05 a whole refresh in another process while ${end} stands still %s: the session stays dead, and so does its last refresh token`,
      async (step, { server, clock }) => {
        const { rotating, place, fleet } = await signedIn({ server, clock }, PATIENT)
        const [one, other] = fleet as [Manager, Manager]
        const refreshing = one.forSubject('web', 'alice')
        await refreshing.read()
        const reached = createGate()
        const goesOn = createGate()
        let isArmed = true
        place.reach = (now) => {
          if (!isArmed || now !== step) return undefined
          isArmed = false
          reached.open()
          return goesOn.opened
        }
        const ending = other.forSubject('web', 'alice')[end]()
        await reached.opened
        await refreshing
          .source()
          .getToken()
          .catch(() => {})
        goesOn.open()
        await whileTimePasses(clock, ending)
        expect(rotating.isAlive('alice')).toBe(false)
        expect(rotating.reuses).toBe(0)
        await clock.advance(HOUR)
        const [later] = discoveringFleet(place, { server, clock }) as [Manager]
        expect(await rejection(textOf(later, 'alice'))).toMatchObject({ name: 'SessionError' })
      },
    )
  }

  test('F5.13 N3.05 a set is saved after the sign-out has looked for the last one, and before it clears: its refresh token is revoked', async ({
    server,
    clock,
  }) => {
    const { rotating, place, fleet } = await signedIn({ server, clock }, PATIENT)
    const [one, other] = fleet as [Manager, Manager]
    const [saving, clearing] = [createGate(), createGate()]
    const [saves, clears] = [createGate(), createGate()]
    let writers = 0
    place.reach = (step) => {
      if (step !== 'before save') return undefined
      writers++
      if (writers === 1) saving.open()
      else clearing.open()
      return writers === 1 ? saves.opened : clears.opened
    }
    const refreshing = rejection(textOf(one, 'alice'))
    await saving.opened
    const ending = other.forSubject('web', 'alice').signOut()
    await clearing.opened
    saves.open()
    expect(await refreshing).toMatchObject({ reason: 'signed_out' })
    clears.open()
    await ending
    expect(rotating.isAlive('alice')).toBe(false)
  })

  test('F5.13 N3.05 a refresh that finds its session signed out keeps its turn until others can know: no token is spent twice', async ({
    server,
    clock,
  }) => {
    const { rotating, place, fleet } = await signedIn({ server, clock }, PATIENT)
    const [one, other] = fleet as [Manager, Manager]
    const [answered, marking, marked] = [createGate(), createGate(), createGate()]
    server.answer = withMetadata(server, async (request) => {
      if (request.url === '/token') await answered.opened
      return rotating.answer(request)
    })
    const asked = nextPost(server)
    const refreshing = rejection(textOf(one, 'alice'))
    await asked
    place.reach = (step) => {
      if (step !== 'before end mark') return undefined
      marking.open()
      return marked.opened
    }
    const ending = one.forSubject('web', 'alice').signOut()
    await marking.opened
    answered.open()
    const waiting = rejection(textOf(other, 'alice'))
    while (rotating.refreshes.get('alice') !== 1) await settle()
    // Long enough for another refresh, if its turn came.
    for (let turn = 0; turn < 3000; turn++) await settle()
    marked.open()
    await whileTimePasses(clock, ending)
    expect(await whileTimePasses(clock, refreshing)).toMatchObject({ reason: 'signed_out' })
    expect(await whileTimePasses(clock, waiting)).toMatchObject({ name: 'SessionError' })
    expect(refreshes(server)).toEqual(['refresh-alice-0'])
    expect(rotating.reuses).toBe(0)
    expect(rotating.isAlive('alice')).toBe(false)
  })

  test('F5.13 the refresh is over before the other process has heard of it: sign-out revokes the newest token', async ({
    server,
    clock,
  }) => {
    const { rotating, fleet } = await signedIn({ server, clock })
    const [one, other] = fleet as [Manager, Manager]
    const known = other.forSubject('web', 'alice')
    await known.read()
    await textOf(one, 'alice')
    await known.signOut()
    expect(rotating.isAlive('alice')).toBe(false)
    expect(rotating.revoked[0]).toBe('refresh-alice-1')
  })

  test('F5.13 A6.06 a session that is carried: a request that refreshes while another one signs out gets nothing, and its token dies', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    const answered = createGate()
    server.answer = withMetadata(server, async (request) => {
      if (request.url === '/token') await answered.opened
      return rotating.answer(request)
    })
    const [one, other] = discoveringFleet(sharedPlace(clock), { server, clock }, PATIENT) as [Manager, Manager]
    const jar = createJar('browser')
    const signIn = jar.request()
    await one.forSession('web', signIn).adopt(rotating.login('alice'))
    signIn.respond()
    await clock.advance(HOUR)
    const asked = nextPost(server)
    const slow = jar.request()
    const got = rejection(one.forSession('web', slow).source().getToken())
    await asked
    const leaving = jar.request()
    await other.forSession('web', leaving).signOut()
    leaving.respond()
    answered.open()
    expect(await got).toMatchObject({ reason: 'signed_out' })
    slow.respond()
    expect(rotating.isAlive('alice')).toBe(false)
    expect(await rejection(other.forSession('web', jar.request()).source().getToken())).toMatchObject({
      name: 'SessionError',
    })
  })

  describe('a session that is carried, and a cookie of before', () => {
    test('A6.06 U9 signed out elsewhere: the first call says so, and so does the second one', async ({
      server,
      clock,
    }) => {
      const { fleet, jar } = await carriedIn({ server, clock })
      const [, other, third] = fleet as [Manager, Manager, Manager]
      const [leaving, late] = [jar.request(), jar.request()]
      await other.forSession('web', leaving).signOut()
      const source = third.forSession('web', late).source()
      expect(await rejection(source.getToken())).toMatchObject({ name: 'SessionError' })
      expect(await rejection(source.getToken())).toMatchObject({ name: 'SessionError' })
    })

    for (const end of ['signOut', 'revoke'] as const) {
      test(`A6.06 N3.05 U9 ${end} after another process has refreshed: the newest refresh token dies`, async ({
        server,
        clock,
      }) => {
        const { rotating, fleet, jar } = await carriedIn({ server, clock })
        const [one, other] = fleet as [Manager, Manager]
        await clock.advance(HOUR)
        const [leaving, slow] = [jar.request(), jar.request()]
        await one.forSession('web', slow).source().getToken()
        await other.forSession('web', leaving)[end]()
        expect(rotating.revoked).toContain('refresh-alice-1')
        expect(rotating.isAlive('alice')).toBe(false)
      })
    }

    test('A6.06 A6.07 U9 the answer that was slower does not bring the session back, at once or an hour later', async ({
      server,
      clock,
    }) => {
      const { rotating, fleet, jar } = await carriedIn({ server, clock })
      const [one, other, third] = fleet as [Manager, Manager, Manager]
      await clock.advance(HOUR)
      const [leaving, slow] = [jar.request(), jar.request()]
      await one.forSession('web', slow).source().getToken()
      await other.forSession('web', leaving).signOut()
      leaving.respond()
      slow.respond()
      const call = () => rejection(third.forSession('web', jar.request()).source().getToken())
      expect(await call()).toMatchObject({ name: 'SessionError' })
      await clock.advance(HOUR)
      expect(await call()).toMatchObject({ name: 'SessionError' })
      expect(rotating.refreshes.get('alice')).toBe(1)
    })

    test('A6.06 U9 signed out between the look for the end and the successor: a third request gets nothing', async ({
      server,
      clock,
    }) => {
      const { fleet, jar, place } = await carriedIn({ server, clock })
      const [one, other, third] = fleet as [Manager, Manager, Manager]
      await clock.advance(HOUR)
      const [leaving, slow, tab] = [jar.request(), jar.request(), jar.request()]
      const { reached, goOn } = stopOnce(place, 'before successor')
      const refreshing = rejection(one.forSession('web', slow).source().getToken())
      await reached.opened
      await other.forSession('web', leaving).signOut()
      goOn.open()
      expect(await refreshing).toMatchObject({ reason: 'signed_out' })
      const got = await rejection(third.forSession('web', tab).source().getToken())
      expect(got).toMatchObject({ name: 'SessionError' })
      // The set that nobody was to have leads to the end, too.
      slow.respond()
      expect(jar.set).toBeUndefined()
    })

    test('A6.06 U9 signed out meanwhile: a second request of the process that refreshes gets nothing either', async ({
      server,
      clock,
    }) => {
      const { fleet, jar, place } = await carriedIn({ server, clock })
      const [one, other] = fleet as [Manager, Manager]
      await clock.advance(HOUR)
      const [slow, tab, leaving] = [jar.request(), jar.request(), jar.request()]
      const { reached, goOn } = stopOnce(place, 'before successor')
      const refreshing = rejection(one.forSession('web', slow).source().getToken())
      await reached.opened
      await other.forSession('web', leaving).signOut()
      // After the sign-out, and before the refresh has found out.
      const second = await rejection(one.forSession('web', tab).source().getToken())
      goOn.open()
      expect(await refreshing).toMatchObject({ reason: 'signed_out' })
      expect(second).toMatchObject({ name: 'SessionError' })
      tab.respond()
      expect(jar.set).toBeUndefined()
    })

    test('A6.06 U9 signed out twice, the second time by a machine whose clock is behind: a refresh that is under way gets nothing', async ({
      server,
      clock,
    }) => {
      const { rotating, place, fleet, jar } = await carriedIn({ server, clock: createTestClock(clock.now() + 5000) })
      const [one, other] = fleet as [Manager, Manager]
      const [behind] = discoveringFleet(place, { server, clock }, PATIENT) as [Manager]
      const answered = createGate()
      server.answer = withMetadata(server, async (request) => {
        const answer = await rotating.answer(request)
        if (request.url === '/token') await answered.opened
        return answer
      })
      const asked = nextPost(server)
      const refreshing = rejection(one.forSession('web', jar.request()).source().getToken({ forceRenewal: true }))
      await asked
      const leaving = jar.request()
      await other.forSession('web', leaving).signOut()
      leaving.respond()
      await behind.forSession('web', jar.request()).signOut()
      answered.open()
      expect(await refreshing).toMatchObject({ reason: 'signed_out' })
    })
  })

  test('N3.05 U9 a session that is carried is revoked while another process refreshes it: it does not go on, and its access tokens do', async ({
    server,
    clock,
  }) => {
    const { rotating, fleet, jar } = await carriedIn({ server, clock })
    const [one, other, third] = fleet as [Manager, Manager, Manager]
    const answered = createGate()
    server.answer = withMetadata(server, async (request) => {
      const answer = await rotating.answer(request)
      if (request.url === '/token') await answered.opened
      return answer
    })
    const [leaving, slow, tab] = [jar.request(), jar.request(), jar.request()]
    const asked = nextPost(server)
    const refreshing = rejection(one.forSession('web', slow).source().getToken({ forceRenewal: true }))
    await asked
    await other.forSession('web', leaving).revoke()
    answered.open()
    expect(await refreshing).toMatchObject({ reason: 'signed_out' })
    expect(rotating.isAlive('alice')).toBe(false)
    leaving.respond()
    for (const session of [tab, jar.request()]) {
      const user = third.forSession('web', session)
      expect((await user.source().getToken()).accessToken).toBe('access-alice-0')
      expect(await user.read()).toMatchObject({ endedBecause: 'revoked' })
    }
    await clock.advance(HOUR)
    expect(await rejection(third.forSession('web', jar.request()).source().getToken())).toMatchObject({
      reason: 'revoked',
    })
  })

  test('U9 signed out elsewhere while the set of a refresh is being saved: nobody gets a token of it', async ({
    server,
    clock,
  }) => {
    const { rotating, place, fleet } = await signedIn({ server, clock }, PATIENT)
    const [one, other] = fleet as [Manager, Manager]
    const alice = one.forSubject('web', 'alice')
    const source = alice.source()
    await source.getToken()
    await clock.advance(HOUR - 1000)
    await alice.read()
    const { reached, goOn } = stopOnce(place, 'before save')
    const first = rejection(textOf(one, 'alice'))
    await reached.opened
    await other.forSubject('web', 'alice').signOut()
    const second = (await source.getToken()).accessToken
    goOn.open()
    expect(await first).toMatchObject({ reason: 'signed_out' })
    // The token of before is good for a second; that of the refresh is nobody's.
    expect(second).toBe('access-alice-1')
    expect(rotating.isAlive('alice')).toBe(false)
  })

  test('U9 F8.02 a refresh hangs at the server: the sign-out takes no longer than one request may', async ({
    server,
    clock,
  }) => {
    const { rotating, fleet } = await signedIn({ server, clock })
    const [one] = fleet as [Manager]
    server.answer = withMetadata(server, (request) => (request.url === '/token' ? hang : rotating.answer(request)))
    const asked = nextPost(server)
    const refreshing = rejection(textOf(one, 'alice'))
    await asked
    const beganAt = clock.now()
    await whileTimePasses(clock, one.forSubject('web', 'alice').signOut(), 1000)
    expect(clock.now() - beganAt).toBeLessThanOrEqual(11_000)
    expect(rotating.isAlive('alice')).toBe(false)
    await whileTimePasses(clock, refreshing, 1000)
  })

  test('U9 the machine of the sign-in is 5 s ahead of that of the sign-out: the session is dead on both', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = withMetadata(server, rotating.answer)
    const place = sharedPlace(clock)
    const ahead = createTestClock(clock.now() + 5000)
    const [one] = discoveringFleet(place, { server, clock: ahead }) as [Manager]
    const [other] = discoveringFleet(place, { server, clock }) as [Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await other.forSubject('web', 'alice').signOut()
    for (const manager of [one, other]) {
      expect(await rejection(textOf(manager, 'alice'))).toMatchObject({ name: 'SessionError' })
    }
    expect(rotating.isAlive('alice')).toBe(false)
  })

  test('U9 a source that was there before gives nothing, also where more sessions were used since than are remembered', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = withMetadata(server, rotating.answer)
    const [one] = discoveringFleet(sharedPlace(clock), { server, clock }, { maxSessions: 1 }) as [Manager]
    const alice = one.forSubject('web', 'alice')
    await alice.adopt(rotating.login('alice'))
    const source = alice.source()
    await source.getToken()
    await one.forSubject('web', 'bob').adopt(rotating.login('bob'))
    await one.forSubject('web', 'alice').signOut()
    expect(await rejection(source.getToken())).toMatchObject({ name: 'SessionError', reason: 'signed_out' })
  })

  test('U9 sign in, out and in again within a moment: the second sign-in waits until it counts', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = withMetadata(server, rotating.answer)
    const [one, other] = discoveringFleet(sharedPlace(clock), { server, clock }, PATIENT) as [Manager, Manager]
    const alice = one.forSubject('web', 'alice')
    await alice.adopt(rotating.login('alice'))
    await alice.signOut()
    await whileTimePasses(clock, other.forSubject('web', 'alice').adopt(rotating.login('alice')))
    for (const manager of [one, other]) expect(await textOf(manager, 'alice')).toBe('access-alice-0')
  })

  test('F5.13 a sign-in that is signed out while it is saved stays so: its refresh token, which others may have spent, is not offered once more', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = withMetadata(server, rotating.answer)
    const place = sharedPlace(clock)
    const [one, other] = discoveringFleet(place, { server, clock }, PATIENT) as [Manager, Manager]
    const [saved, goesOn] = [createGate(), createGate()]
    place.reach = (step) => {
      if (step !== 'after save') return undefined
      place.reach = () => {}
      saved.open()
      return goesOn.opened
    }
    const adopting = rejection(one.forSubject('web', 'alice').adopt(rotating.login('alice')))
    await saved.opened
    await one.forSubject('web', 'alice').signOut()
    goesOn.open()
    expect(await whileTimePasses(clock, adopting)).toMatchObject({ name: 'SessionError', reason: 'superseded' })
    await clock.advance(5000)
    for (const manager of [one, other])
      expect(await rejection(textOf(manager, 'alice'))).toMatchObject({ name: 'SessionError' })
    expect(rotating.isAlive('alice')).toBe(false)
  })

  test('U9 a sign-in that finds a newer one there is refused at once', async ({ server, clock }) => {
    const rotating = createRotatingServer()
    const place = sharedPlace(clock)
    const [one, other] = fleetAt(place, { server, clock }) as [Manager, Manager]
    const late = createGate()
    const saving = createGate()
    place.reach = (step) => {
      if (step !== 'before save') return undefined
      place.reach = () => {}
      saving.open()
      return late.opened
    }
    const first = rejection(one.forSubject('web', 'alice').adopt(rotating.login('alice')))
    await saving.opened
    await clock.advance(1)
    await other.forSubject('web', 'alice').adopt({ ...rotating.login('alice'), access_token: 'access-newer' })
    late.open()
    expect(await first).toMatchObject({ name: 'SessionError', reason: 'superseded' })
    expect(await textOf(other, 'alice')).toBe('access-newer')
  })

  test('U9 sign-out of a session that is not there, and twice: no request, no error', async ({ server, clock }) => {
    const [one] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager]
    await one.forSubject('web', 'nobody').signOut()
    await one.forSubject('web', 'nobody').signOut()
    expect(server.requests).toHaveLength(0)
  })
})

/** Ending a session may have to wait for the refresh; whichever way it is, both go on in the end. */
async function endOrWait(ending: Promise<unknown>, goesOn: Gate, clock: World['clock']): Promise<void> {
  let isOver = false
  void ending.finally(() => {
    isOver = true
  })
  for (let turns = 0; turns < 40 && !isOver; turns++) await clock.advance(50)
  goesOn.open()
}
