/** Does the work when it is first wanted and keeps what comes of it, unless it fails: then the next call tries again. */
export function lazy<T>(work: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => {
    if (made !== undefined) return made
    const mine = work()
    made = mine
    mine.catch(() => {
      if (made === mine) made = undefined
    })
    return mine
  }
}
