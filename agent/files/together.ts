/**
 * As `Promise.all`, but when one fails the others are waited for all the same: a descriptor must not be closed, and its
 * number given to another file, while somebody still works by it.
 */
export async function together<Result>(work: Promise<Result>[]): Promise<Result[]> {
  const outcomes = await Promise.allSettled(work);
  return outcomes.map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason;
    return outcome.value;
  });
}
