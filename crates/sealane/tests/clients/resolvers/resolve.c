// Resolves names with the C library's resolver: a line of addresses for each.
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

static const void *bytes_of(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return &((const struct sockaddr_in *)address)->sin_addr;
	return &((const struct sockaddr_in6 *)address)->sin6_addr;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
		int error = getaddrinfo(argv[i], NULL, &hints, &found);
		printf("%s", argv[i]);
		if (error == EAI_AGAIN || error == EAI_FAIL || error == EAI_SYSTEM)
			printf(" %s", gai_strerror(error));
		for (struct addrinfo *one = error ? NULL : found; one; one = one->ai_next) {
			char text[INET6_ADDRSTRLEN];
			printf(" %s", inet_ntop(one->ai_family, bytes_of(one->ai_addr), text, sizeof text));
		}
		printf("\n");
	}
	return 0;
}
