/** Makes calls that overlap share one run of the work; the next call after it has settled starts a new one. */
export function singleFlight<T>(work: () => Promise<T>): () => Promise<T> {
  let flight: Promise<T> | undefined
  return () => {
    // No await between the look and the claim: that is what makes it one flight.
    if (flight !== undefined) return flight
    const mine = work().finally(() => {
      if (flight === mine) flight = undefined
    })
    flight = mine
    return mine
  }
}
