/** Who the files of servers belong to. */
export interface Owner {
  uid: number;
  gid: number;
}
