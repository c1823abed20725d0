// SPDX-License-Identifier: GPL-2.0-only
/*
 * A function with nine arguments, of which five (ARM) or one (ppc64le) come on
 * the stack: no datagram of more than 1,000 bytes leaves through a raw socket.
 * Everything else goes on as before, which works only if every argument has
 * arrived. ip_setup_cork and __ip_append_data are static in net/ipv4: bound to
 * their addresses.
 */
#include <linux/skbuff.h>
#include <net/inet_sock.h>
#include <net/ip.h>
#include <net/sock.h>

int ip_setup_cork(struct sock *sk, struct inet_cork *cork,
		  struct ipcm_cookie *ipc, struct rtable **route);
int __ip_append_data(struct sock *sk, struct flowi4 *flow,
		     struct sk_buff_head *queue, struct inet_cork *cork,
		     struct page_frag *frag,
		     int getfrag(void *from, char *to, int offset, int length,
				 int odd, struct sk_buff *skb),
		     void *from, int length, int header, unsigned int flags);

int ip_append_data(struct sock *sk, struct flowi4 *flow,
		   int getfrag(void *from, char *to, int offset, int length,
			       int odd, struct sk_buff *skb),
		   void *from, int length, int header,
		   struct ipcm_cookie *ipc, struct rtable **route,
		   unsigned int flags)
{
	struct inet_cork *cork = &inet_sk(sk)->cork.base;
	bool first = skb_queue_empty(&sk->sk_write_queue);
	int error = 0;

	if (length > 1000)
		return -EMSGSIZE;
	if (flags & MSG_PROBE)
		return 0;
	if (first)
		error = ip_setup_cork(sk, cork, ipc, route);
	if (error)
		return error;
	return __ip_append_data(sk, flow, &sk->sk_write_queue, cork,
				sk_page_frag(sk), getfrag, from, length,
				first ? header : 0, flags);
}
